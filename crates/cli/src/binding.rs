//! The syntax of `--bind` and `--object`: text in, names out. Opens nothing.
//!
//! `[INSTANCE:]EXTERN=INSTANCE[:FUNCTION]`, where an INSTANCE is a label or a path. Paths may hold
//! `=` and `:`, so a text can have several readings; the one whose instances are known (a label, a
//! listed object, a file that exists) is meant. EXTERN and FUNCTION are symbol names and hold
//! neither character, which leaves one reading per `=` and two for the right side of each.

use std::fmt;

/// How well an instance's name is known. More is better.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Known {
    /// Neither label nor listed nor a file.
    Not,
    /// A file that exists.
    File,
    /// Written as one of the OBJECT arguments.
    Listed,
    /// Label of an `--object`.
    Label,
}

/// A binding, taken apart. Borrows from its text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Binding<'a> {
    /// Who wants it; `None` is the root.
    pub(crate) caller: Option<&'a str>,
    /// The extern.
    pub(crate) name: &'a str,
    /// Who has it.
    pub(crate) target: &'a str,
    /// Which of its functions; `None` leaves the choice to the linker.
    pub(crate) function: Option<&'a str>,
}

impl fmt::Display for Binding<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.caller {
            Some(caller) => write!(f, "extern `{}` of `{caller}`", self.name)?,
            None => write!(f, "extern `{}` of the root", self.name)?,
        }
        match self.function {
            Some(function) => write!(f, " to function `{function}` of `{}`", self.target),
            None => write!(f, " to `{}`", self.target),
        }
    }
}

/// Why a text is no binding.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BindingError {
    /// No `=` in it.
    #[error("binding `{text}` has no `=`: it reads [INSTANCE:]EXTERN=INSTANCE[:FUNCTION]")]
    NoEquals {
        /// The text.
        text: String,
    },
    /// Something that has to be there is empty.
    #[error("binding `{text}` names no {part}: it reads [INSTANCE:]EXTERN=INSTANCE[:FUNCTION]")]
    Missing {
        /// The text.
        text: String,
        /// What is missing.
        part: &'static str,
    },
    /// What stands before the `=` is no symbol name.
    #[error("binding `{text}`: `{name}` cannot be the name of an extern")]
    BadExtern {
        /// The text.
        text: String,
        /// What stands where the extern's name should.
        name: String,
    },
    /// Two readings are as good as each other.
    #[error("binding `{text}` can be read in two ways: {first}, or {second}")]
    Ambiguous {
        /// The text.
        text: String,
        /// One reading.
        first: String,
        /// The other.
        second: String,
    },
}

impl<'a> Binding<'a> {
    /// Takes `text` apart, as seen with `known`.
    ///
    /// Where no reading has all its instances known, the plainest is returned, so that whoever opens
    /// the objects can say which of them is not there.
    pub(crate) fn parse(
        text: &'a str,
        known: impl Fn(&str) -> Known,
    ) -> Result<Self, BindingError> {
        let readings = readings(text)?;
        let rank = |binding: &Self| {
            let caller = binding.caller.map_or(Known::Label, &known);
            let target = known(binding.target);
            let whole = [caller, target].iter().filter(|k| **k != Known::Not).count();
            (whole, caller.min(target), caller.max(target))
        };
        let Some((best, best_rank)) =
            readings.iter().map(|r| (*r, rank(r))).reduce(|a, b| if b.1 > a.1 { b } else { a })
        else {
            return Err(bad_extern(text));
        };
        let rival = readings.iter().find(|r| **r != best && rank(r) == best_rank);
        match rival {
            Some(rival) if best_rank.1 != Known::Not => Err(BindingError::Ambiguous {
                text: text.to_owned(),
                first: best.to_string(),
                second: rival.to_string(),
            }),
            _ => Ok(best),
        }
    }
}

/// Every way to read `text`, the plainest first.
fn readings(text: &str) -> Result<Vec<Binding<'_>>, BindingError> {
    let missing = |part| BindingError::Missing { text: text.to_owned(), part };
    if !text.contains('=') {
        return Err(BindingError::NoEquals { text: text.to_owned() });
    }
    let mut found = Vec::new();
    let mut lack = None;
    for (at, _) in text.match_indices('=') {
        let (left, right) = (&text[..at], &text[at + 1..]);
        let (caller, name) = match left.rsplit_once(':') {
            Some((caller, name)) => (Some(caller), name),
            None => (None, left),
        };
        if name.is_empty() {
            lack = lack.or(Some("extern"));
        } else if caller == Some("") {
            lack = lack.or(Some("instance before the `:`"));
        } else if right.is_empty() {
            lack = lack.or(Some("instance behind the `=`"));
        } else if is_symbol(name) {
            match right.rsplit_once(':') {
                Some((target, function)) if !target.is_empty() && is_symbol(function) => {
                    found.push(Binding { caller, name, target, function: Some(function) });
                }
                Some((_, "")) => lack = lack.or(Some("function behind the `:`")),
                Some(("", _)) => lack = lack.or(Some("instance behind the `=`")),
                _ => {}
            }
            found.push(Binding { caller, name, target: right, function: None });
        }
    }
    // `x=a.o:` has the reading "the file `a.o:`"; it is kept only where nothing is missing.
    match lack {
        Some(part) if found.iter().all(|b| is_odd(b)) => Err(missing(part)),
        _ => Ok(found),
    }
}

/// Only readable by taking a dangling `:` for a part of a file's name?
fn is_odd(binding: &Binding<'_>) -> bool {
    binding.target.ends_with(':') || binding.target.starts_with(':')
}

fn bad_extern(text: &str) -> BindingError {
    let left = text.split('=').next().unwrap_or(text);
    let name = left.rsplit(':').next().unwrap_or(left);
    BindingError::BadExtern { text: text.to_owned(), name: name.to_owned() }
}

/// Can this be the name of a function? C identifiers, and what compilers append to or make of
/// them (`f.llvm.123`, `_ZN3foo17h…E`, `$`).
pub(crate) fn is_symbol(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '$'))
}

/// Takes `LABEL=PATH` apart. A label is made of letters, digits, `_`, `-`, `.` and `+`, so the first
/// `=` ends it, whatever the path holds.
pub(crate) fn parse_label(text: &str) -> Result<(String, String), String> {
    let (label, path) =
        text.split_once('=').ok_or_else(|| "it has no `=` and reads LABEL=PATH".to_owned())?;
    if label.is_empty() {
        return Err("the label before the `=` is empty".to_owned());
    }
    let fits = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '+');
    if let Some(bad) = label.chars().find(|c| !fits(*c)) {
        return Err(format!(
            "`{bad}` cannot be part of the label `{label}`: letters, digits, `_`, `-`, `.` and `+` can"
        ));
    }
    if path.is_empty() {
        return Err(format!("the path of `{label}` is empty"));
    }
    Ok((label.to_owned(), path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Labels, listed objects and files of a make-believe command line.
    struct World(&'static [(&'static str, Known)]);

    impl World {
        fn parse<'a>(&self, text: &'a str) -> Result<Binding<'a>, BindingError> {
            Binding::parse(text, |name| {
                self.0
                    .iter()
                    .filter(|(n, _)| *n == name)
                    .map(|(_, k)| *k)
                    .max()
                    .unwrap_or(Known::Not)
            })
        }
    }

    fn binding<'a>(
        caller: Option<&'a str>,
        name: &'a str,
        target: &'a str,
        function: Option<&'a str>,
    ) -> Binding<'a> {
        Binding { caller, name, target, function }
    }

    const EMPTY: World = World(&[]);

    #[test]
    fn the_four_forms() {
        assert_eq!(EMPTY.parse("prog1=f.o"), Ok(binding(None, "prog1", "f.o", None)));
        assert_eq!(EMPTY.parse("prog1=f.o:drop"), Ok(binding(None, "prog1", "f.o", Some("drop"))));
        assert_eq!(EMPTY.parse("a.o:prog1=f.o"), Ok(binding(Some("a.o"), "prog1", "f.o", None)));
        assert_eq!(
            EMPTY.parse("a.o:prog1=f.o:drop"),
            Ok(binding(Some("a.o"), "prog1", "f.o", Some("drop")))
        );
    }

    #[test]
    fn paths_with_directories() {
        assert_eq!(
            EMPTY.parse("./x/a.o:p=../y/b.o:f"),
            Ok(binding(Some("./x/a.o"), "p", "../y/b.o", Some("f")))
        );
        assert_eq!(EMPTY.parse("p=C:/x/b.o"), Ok(binding(None, "p", "C:/x/b.o", None)));
    }

    #[test]
    fn a_path_with_equals_on_the_left() {
        let world = World(&[("v=1/a.o", Known::File), ("b.o", Known::File)]);
        assert_eq!(world.parse("v=1/a.o:p=b.o"), Ok(binding(Some("v=1/a.o"), "p", "b.o", None)));
    }

    #[test]
    fn a_path_with_equals_on_the_right() {
        let world = World(&[("v=1/b.o", Known::File)]);
        assert_eq!(world.parse("p=v=1/b.o"), Ok(binding(None, "p", "v=1/b.o", None)));
        assert_eq!(world.parse("p=v=1/b.o:f"), Ok(binding(None, "p", "v=1/b.o", Some("f"))));
    }

    #[test]
    fn a_path_with_a_colon_on_the_right() {
        let world = World(&[("x:y", Known::File)]);
        assert_eq!(world.parse("p=x:y"), Ok(binding(None, "p", "x:y", None)));
        assert_eq!(world.parse("p=x:y:f"), Ok(binding(None, "p", "x:y", Some("f"))));
        assert_eq!(world.parse("p=x:z"), Ok(binding(None, "p", "x", Some("z"))));
    }

    #[test]
    fn a_path_with_a_colon_on_the_left() {
        let world = World(&[("x:y.o", Known::File), ("b.o", Known::File)]);
        assert_eq!(world.parse("x:y.o:p=b.o"), Ok(binding(Some("x:y.o"), "p", "b.o", None)));
    }

    #[test]
    fn equals_and_colon_in_every_path() {
        let world = World(&[("a=1:x.o", Known::File), ("b=2:y.o", Known::File)]);
        assert_eq!(
            world.parse("a=1:x.o:p=b=2:y.o:f"),
            Ok(binding(Some("a=1:x.o"), "p", "b=2:y.o", Some("f")))
        );
    }

    #[test]
    fn a_label_beats_a_listed_object_beats_a_file() {
        let world = World(&[("x:y", Known::File), ("x", Known::Label)]);
        assert_eq!(world.parse("p=x:y"), Ok(binding(None, "p", "x", Some("y"))));
        let world = World(&[("x:y", Known::Listed), ("x", Known::File)]);
        assert_eq!(world.parse("p=x:y"), Ok(binding(None, "p", "x:y", None)));
    }

    #[test]
    fn two_equal_readings_are_an_error_that_shows_both() {
        let world = World(&[("x:y", Known::File), ("x", Known::File)]);
        let error = world.parse("p=x:y").unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, BindingError::Ambiguous { .. }));
        assert!(text.contains("function `y` of `x`") && text.contains("to `x:y`"), "{text}");
    }

    #[test]
    fn half_known_beats_unknown() {
        // Only the target is there: the caller is what is missing, not the whole reading.
        let world = World(&[("v=1/b.o", Known::File)]);
        assert_eq!(
            world.parse("gone.o:p=v=1/b.o"),
            Ok(binding(Some("gone.o"), "p", "v=1/b.o", None))
        );
    }

    #[test]
    fn what_is_missing_is_said() {
        for (text, part) in [
            ("=f.o", "extern"),
            ("a.o:=f.o", "extern"),
            ("p=", "instance behind the `=`"),
            ("p=:f", "instance behind the `=`"),
            ("p=f.o:", "function behind the `:`"),
            (":p=f.o", "instance before the `:`"),
        ] {
            assert_eq!(
                EMPTY.parse(text),
                Err(BindingError::Missing { text: text.to_owned(), part }),
                "{text}"
            );
        }
        assert_eq!(EMPTY.parse("p"), Err(BindingError::NoEquals { text: "p".into() }));
        assert_eq!(EMPTY.parse(""), Err(BindingError::NoEquals { text: String::new() }));
    }

    #[test]
    fn a_path_is_no_extern() {
        assert_eq!(
            EMPTY.parse("x/a.o=f.o"),
            Err(BindingError::BadExtern { text: "x/a.o=f.o".into(), name: "x/a.o".into() })
        );
        assert_eq!(
            EMPTY.parse("a.o:1p=f.o"),
            Err(BindingError::BadExtern { text: "a.o:1p=f.o".into(), name: "1p".into() })
        );
    }

    #[test]
    fn symbols_of_other_compilers() {
        assert_eq!(
            EMPTY.parse("_ZN3foo3barE=f.o:g.llvm.42"),
            Ok(binding(None, "_ZN3foo3barE", "f.o", Some("g.llvm.42")))
        );
    }

    #[test]
    fn text_beyond_ascii_does_not_panic() {
        assert_eq!(EMPTY.parse("ü=ö.o:ä"), Ok(binding(None, "ü", "ö.o", Some("ä"))));
        assert!(EMPTY.parse("→=→").is_err());
    }

    #[test]
    fn labels() {
        assert_eq!(parse_label("fw=x/y=z.o"), Ok(("fw".into(), "x/y=z.o".into())));
        assert!(parse_label("fw").unwrap_err().contains("no `=`"));
        assert!(parse_label("=x").unwrap_err().contains("empty"));
        assert!(parse_label("fw=").unwrap_err().contains("empty"));
        assert!(parse_label("f:w=x").unwrap_err().contains("`:`"));
    }
}
