//! Errors of linking ahead of time as [`Failure`]s: both declarations, and what to do next.

use bpfweld::static_link::{LinkError, LinkErrors};

use super::Failure;

impl From<LinkError> for Failure {
    fn from(error: LinkError) -> Self {
        let code = error.code();
        let error = match error {
            LinkError::Read(error) => return error.into(),
            error => error,
        };
        let failure = Self::new(error.to_string()).code(code);
        let failure = error
            .declarations()
            .into_iter()
            .fold(failure, |failure, declaration| failure.detail(declaration.to_string()));
        match error.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

impl From<LinkErrors> for Failure {
    fn from(errors: LinkErrors) -> Self {
        let mut failures: Vec<_> = errors.0.into_iter().map(Self::from).collect();
        match failures.len() {
            1 => failures.remove(0),
            count => {
                let code = failures.first().map_or(super::INPUT, |f| f.code);
                let all = Self::new(format!("{count} things stand in the way")).code(code);
                failures.iter().fold(all, |all, failure| {
                    all.detail(format!("{}: {}", failure.code, failure.to_text()))
                })
            }
        }
    }
}
