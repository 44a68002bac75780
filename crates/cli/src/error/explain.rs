//! The library's errors as [`Failure`]s: what happened in one sentence, where, and what to do next.
//!
//! A new variant needs an arm here only when it has more to tell than its one sentence.

use bpfweld::kernel::{LoadError, PinError, Privilege, RunError, SymbolProblem};
use bpfweld::link::{FunctionRef, LinkError, Site, UnresolvedExtern};
use bpfweld::object::{ReadError, ReadProblem};

use bpfweld_chain::ChainError;

use super::snippet::Snippet;
use super::{Failure, verifier};
use crate::instances::{nearest, neighbours};

/// Call sites that are shown of an extern.
const MAX_SITES: usize = 4;

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        let failure = Self::new(error.to_string()).code(error.problem.code());
        match &*error.problem {
            ReadProblem::Io { kind: std::io::ErrorKind::NotFound, .. } => {
                let near = neighbours(std::path::Path::new(&error.object));
                match nearest(&error.object, near) {
                    near if near.is_empty() => failure,
                    near => failure.hint(format!("did you mean {}?", near.join(" or "))),
                }
            }
            _ => failure,
        }
    }
}

impl From<ChainError> for Failure {
    fn from(error: ChainError) -> Self {
        let code = error.code();
        let plain = |error: &ChainError| Self::new(error.to_string()).code(code);
        match error {
            ChainError::Read(error) => error.into(),
            ChainError::Link(error) => error.into(),
            ChainError::Load(error) => error.into(),
            ChainError::Foreign { .. } => {
                plain(&error)
                .hint("it is left alone; `bpfweld xdp adopt` takes it into a chain, or take it off with the tool that put it there")
            }
            ChainError::Attach { unsupported: true, mode: "native", .. } => {
                plain(&error).hint("try --mode skb, which works on any interface")
            }
            ChainError::Device { .. } => plain(&error).hint(
                "`bpfweld xdp features` shows what the driver can; --mode native runs programs in the host",
            ),
            ChainError::Mode { .. } => plain(&error)
                .hint("or ask for mode `unspecified`, which is that of the chain"),
            ChainError::NetNs { ref source, .. }
            | ChainError::File { ref source, .. }
            | ChainError::Call { ref source, .. }
                if source.kind() == std::io::ErrorKind::PermissionDenied =>
            {
                plain(&error).hint(
                    "chains want root, or CAP_BPF, CAP_NET_ADMIN (to change one, and for --netns, CAP_SYS_ADMIN), \
                     and access to --state-dir and --pin-dir",
                )
            }
            _ => plain(&error),
        }
    }
}

impl From<LinkError> for Failure {
    fn from(error: LinkError) -> Self {
        let code = error.code();
        link_error(error).code(code)
    }
}

fn link_error(error: LinkError) -> Failure {
    match &error {
        LinkError::Unresolved(externs) => unresolved(externs),
        LinkError::Mismatch { instance, name, target, wanted, found, reason, site } => {
            let failure = Failure::new(format!(
                "extern `{name}` of {instance} and its target {target} differ in type: \
                     {reason}"
            ));
            site_detail(failure, site.as_deref(), "called here")
                .detail(format!("wanted: {wanted}\nfound:  {found}"))
                .hint(
                    "change one of the two declarations, or bind the extern to another \
                       function",
                )
        }
        LinkError::Cycle { path, sites } => sites
            .iter()
            .zip(path.iter().skip(1))
            .fold(
                Failure::new("functions call each other in a circle"),
                |failure, (site, callee)| {
                    site_detail(failure, Some(site), &format!("calls {callee}"))
                },
            )
            .detail(arrows(path))
            .hint("BPF programs cannot recurse; bind one of these externs to another function"),
        LinkError::TooManyFrames { path, limit } => {
            Failure::new(format!("a call path has {} frames; the kernel takes {limit}", path.len()))
                .detail(arrows(path))
        }
        LinkError::UnknownExtern { nearest, .. } => {
            offer(Failure::new(error.to_string()), "externs it has", nearest)
        }
        LinkError::UnknownFunction { nearest, .. } => {
            offer(Failure::new(error.to_string()), "functions it has", nearest)
        }
        LinkError::UnknownEntry { nearest, .. } => {
            offer(Failure::new(error.to_string()), "entry programs it has", nearest)
        }
        LinkError::UnknownMap { nearest, .. } => {
            offer(Failure::new(error.to_string()), "maps it has", nearest)
        }
        LinkError::NoDefaultTarget { instance, name, entries } => {
            let failure = offer(Failure::new(error.to_string()), "entry programs", entries);
            let function = entries.first().map_or("FUNCTION", String::as_str);
            failure.hint(format!("--bind {name}={instance}:{function}"))
        }
        LinkError::SeveralEntries { entries, .. } => {
            let failure = offer(Failure::new(error.to_string()), "entry programs", entries);
            match entries.first() {
                Some(first) => failure.hint(format!("--entry {first}")),
                None => failure,
            }
        }
        LinkError::TwoDefinitions { kind: "function", instance, name, first, .. } => {
            Failure::new(error.to_string()).hint(format!("--bind {instance}:{name}={first}"))
        }
        LinkError::TwoDefinitions { .. } => Failure::new(error.to_string())
            .hint("make one of them static, or leave one of the objects out"),
        LinkError::Licence { site, .. } => {
            site_detail(Failure::new(error.to_string()), site.as_deref(), "this call").hint(
                "all objects in one program need a GPL-compatible licence, or none may use such \
                       a helper",
            )
        }
        LinkError::ProgramType { site, .. } => {
            site_detail(Failure::new(error.to_string()), site.as_deref(), "called here").hint(
                "a linked function runs as its caller's program type; a subprogram without \
                       SEC() runs in any",
            )
        }
        LinkError::Sleepable { site, .. } => {
            site_detail(Failure::new(error.to_string()), site.as_deref(), "called here")
        }
        LinkError::Core { site, .. } => {
            site_detail(Failure::new(error.to_string()), Some(&**site), "this access").hint(
                "--kernel-btf names the file with the kernel's types, where it is not the \
                       running kernel",
            )
        }
        _ => Failure::new(error.to_string()),
    }
}

impl From<bpfweld::Error> for Failure {
    fn from(error: bpfweld::Error) -> Self {
        match error {
            bpfweld::Error::Read(error) => error.into(),
            bpfweld::Error::Link(error) => error.into(),
            bpfweld::Error::Load(error) => error.into(),
            bpfweld::Error::KernelBtf { .. } => Self::new(error.to_string())
                .code(error.code())
                .hint("--kernel-btf names a file with the kernel's types"),
            _ => Self::new(error.to_string()).code(error.code()),
        }
    }
}

impl From<bpfweld::BackendError> for Failure {
    fn from(error: bpfweld::BackendError) -> Self {
        match error {
            bpfweld::BackendError::Kernel(error) => error.into(),
            bpfweld::BackendError::Engine(ref engine)
            | bpfweld::BackendError::Neither { ref engine, .. } => {
                Self::new(error.to_string()).code(engine.code())
            }
            bpfweld::BackendError::Trace(ref trace) => {
                Self::new(error.to_string()).code(trace.code()).hint("without --trace it runs")
            }
            bpfweld::BackendError::Untraceable(_) => Self::new(error.to_string())
                .code("E0802")
                .hint("the engine traces without a verifier: --engine engine"),
        }
    }
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Self {
        let failure = Self::new(error.to_string()).code(error.code());
        match &error {
            LoadError::Privilege(privilege) => privilege.into(),
            LoadError::Rejected(rejected) => verifier::refused(rejected, error.to_string()),
            LoadError::Kconfig { .. } | LoadError::NoKernelConfig { .. } => {
                failure.hint("--kconfig names a file with kernel configuration values")
            }
            LoadError::Symbol { problem: SymbolProblem::NoKernelBtf { .. }, .. } => {
                failure.hint("--kernel-btf names a file with the kernel's types")
            }
            _ => failure,
        }
    }
}

impl From<&Privilege> for Failure {
    fn from(privilege: &Privilege) -> Self {
        let failure =
            Self::new(format!("the kernel does not permit this process to {}", privilege.what))
                .code("E0301")
                .for_all();
        let lockdown = privilege.lockdown.as_ref();
        let locked = lockdown.map(|mode| format!("the kernel is locked down (mode {mode})"));
        if privilege.missing.is_empty() {
            return match locked {
                Some(locked) => failure.detail(format!(
                    "the process has the capabilities, but {locked},\nwhich forbids what could read the \
                     kernel's memory"
                )),
                None => failure.detail(
                    "the process has the capabilities: a container, a user namespace or a security module \
                     is in the way",
                ),
            };
        }
        let names: Vec<_> = privilege.missing.iter().map(ToString::to_string).collect();
        let mut failure = failure.detail(format!("missing: {}", names.join(" and ")));
        if let Some(locked) = locked {
            failure = failure.detail(format!("besides, {locked}"));
        }
        failure
            .hint("run it as root, or with these capabilities (before Linux 5.8: CAP_SYS_ADMIN)")
            .hint("`bpfweld inspect` works without")
    }
}

impl From<PinError> for Failure {
    fn from(error: PinError) -> Self {
        match &error {
            PinError::Privilege(privilege) => privilege.into(),
            _ => Self::new(error.to_string()).code(error.code()),
        }
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        let failure = Self::new(error.to_string()).code("E0311");
        match error {
            RunError::NoTestRun(_) => failure.hint("`bpfweld check` verifies programs of any type"),
            _ => failure,
        }
    }
}

fn unresolved(externs: &[UnresolvedExtern]) -> Failure {
    let mut failure = Failure::new(match externs {
        [only] => {
            format!("extern {} `{}` of {} is unresolved", only.kind, only.name, only.instance)
        }
        _ => format!("{} externs are unresolved", externs.len()),
    });
    for ext in externs {
        if externs.len() > 1 {
            failure = failure.detail(format!("{} {} of {}", ext.kind, ext.name, ext.instance));
        }
        for (at, site) in ext.sites.iter().take(MAX_SITES).enumerate() {
            let used = if ext.kind == "function" { "called" } else { "used" };
            let label = match &ext.declaration {
                Some(declaration) if at == 0 => format!("{used} here; declared: {declaration}"),
                _ => format!("{used} here"),
            };
            failure = site_detail(failure, Some(site), &label);
        }
        if ext.sites.len() > MAX_SITES {
            failure = failure.detail(format!("and {} more places", ext.sites.len() - MAX_SITES));
        }
        let near: Vec<_> = ext.nearest.iter().map(ToString::to_string).collect();
        let near = if near.is_empty() { "nothing".to_owned() } else { near.join(", ") };
        failure = failure.detail(format!("on offer: {near}"));
    }
    let Some(first) = externs.iter().find(|ext| ext.kind == "function") else { return failure };
    let target = first.nearest.first().map_or("OBJECT:FUNCTION".to_owned(), ToString::to_string);
    failure.hint(format!(
        "bind it: --bind {}:{}={target}; or link an object that has a global function of that name",
        first.instance, first.name
    ))
}

/// Where: the source line, or what else is known.
fn site_detail(failure: Failure, site: Option<&Site>, label: &str) -> Failure {
    let Some(site) = site else { return failure };
    match Snippet::of(site, format!("{label} (in {})", site.function)) {
        Some(snippet) => failure.place(snippet),
        None => failure.detail(format!("{label}: in {site}")),
    }
}

fn offer(failure: Failure, what: &str, names: &[String]) -> Failure {
    match names {
        [] => failure,
        names => failure.detail(format!("{what}: {}", names.join(", "))),
    }
}

/// A call path, one function a line.
fn arrows(path: &[FunctionRef]) -> String {
    let mut text = String::new();
    for (depth, function) in path.iter().enumerate() {
        let lead = if depth == 0 { "   " } else { "-> " };
        text.push_str(&format!("{lead}{function}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use bpfweld::link::SourceLine;

    use super::*;

    fn function(instance: &str, function: &str) -> FunctionRef {
        FunctionRef { instance: instance.into(), function: function.into() }
    }

    fn site() -> Site {
        Site {
            function: function("root.o", "main"),
            insn: 3,
            source: Some(SourceLine {
                file: "root.c".into(),
                line: 12,
                column: 7,
                text: "\treturn prog1(ctx);".into(),
            }),
        }
    }

    #[test]
    fn unresolved_externs_are_all_listed_with_place_and_neighbours() {
        let ext = |name: &str, nearest: Vec<FunctionRef>| UnresolvedExtern {
            instance: "root.o".into(),
            name: name.into(),
            kind: "function",
            declaration: Some(format!("int {name}(struct xdp_md *ctx)")),
            sites: vec![site()],
            nearest,
        };
        let text = Failure::from(LinkError::Unresolved(vec![
            ext("prog1", vec![function("a.o", "prog_one")]),
            ext("prog2", vec![]),
        ]))
        .to_text();
        for part in [
            "2 externs are unresolved",
            "function prog1 of root.o",
            "function prog2 of root.o",
            "int prog1(struct xdp_md *ctx)",
            "--> root.c:12:7",
            "12 |     return prog1(ctx);",
            "(in root.o:main)",
            "on offer: a.o:prog_one",
            "on offer: nothing",
            "hint: bind it: --bind root.o:prog1=a.o:prog_one",
        ] {
            assert!(text.contains(part), "no {part:?} in:\n{text}");
        }
    }

    #[test]
    fn a_mismatch_shows_both_prototypes() {
        let text = Failure::from(LinkError::Mismatch {
            instance: "root.o".into(),
            name: "f".into(),
            target: function("a.o", "g"),
            wanted: "int f(int x)".into(),
            found: "int g(long x)".into(),
            reason: "parameter 1".into(),
            site: Some(Box::new(site())),
        })
        .to_text();
        assert!(text.contains("  wanted: int f(int x)\n  found:  int g(long x)"), "{text}");
        assert!(text.contains("root.c:12:7"), "{text}");
    }

    #[test]
    fn a_cycle_is_shown_function_by_function() {
        let text = Failure::from(LinkError::Cycle {
            path: vec![function("a.o", "f"), function("b.o", "g"), function("a.o", "f")],
            sites: vec![site()],
        })
        .to_text();
        assert!(
            text.contains("calls b.o:g") && text.contains("a.o:f\n  -> b.o:g\n  -> a.o:f"),
            "{text}"
        );
    }
}
