//! The examples of `docs/errors.md` that no run can show at will, made by hand, and what holds of the
//! page as a whole. `BPFWELD_WRITE_EXAMPLES=1` writes them. The others are those of the cases.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, io};

use bpfweld::engine::{Fault, FaultKind, LoadError as EngineError};
use bpfweld::kernel::{LoadError, PinError, Privilege, RunError};
use bpfweld::link::{
    FunctionRef, LinkError, Site, SourceLine,
    core_reloc::{CoreError, CoreProblem},
};
use bpfweld::object::{ReadError, ReadProblem};
use bpfweld::static_link;
use bpfweld_chain::ChainError;

use super::{Failure, Sources};
use crate::output::Style;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Code → example.
fn page() -> BTreeMap<String, String> {
    let text = fs::read_to_string(root().join("docs/errors.md")).unwrap();
    let sections = text.split("\n## E0").skip(1).map(|section| {
        let example = section.split("```text\n").nth(1).unwrap_or_default();
        let example = example.split("```").next().unwrap_or_default();
        (format!("E0{}", &section[..3]), example.to_owned())
    });
    let sections: Vec<_> = sections.collect();
    let map: BTreeMap<_, _> = sections.iter().cloned().collect();
    assert_eq!(map.len(), sections.len(), "a code has two sections");
    map
}

fn function(function: &str) -> FunctionRef {
    FunctionRef { instance: "root.o".into(), function: function.into() }
}

fn site() -> Site {
    let text = "\treturn task->pid;".into();
    let source = SourceLine { file: "root.c".into(), line: 12, column: 15, text };
    Site { function: function("root"), insn: 7, source: Some(source) }
}

fn read(problem: ReadProblem) -> Failure {
    ReadError { object: "root.o".into(), problem: Box::new(problem) }.into()
}

fn failures() -> Vec<Failure> {
    let pid = || "root".to_owned();
    let disk_full = io::Error::from_raw_os_error(28);
    let refused = || io::Error::from_raw_os_error(22);
    vec![
        Failure::new("no program was loaded"),
        disk_full.into(),
        read(ReadProblem::Section {
            section: "version".into(),
            problem: "3 bytes, where a version has 4".into(),
        }),
        read(ReadProblem::TooManyExterns { limit: 65536 }),
        LinkError::TwoArenas {
            entry: function("root"),
            first: "a.o:arena".into(),
            second: "b.o:arena".into(),
        }
        .into(),
        LinkError::TooLong { entry: function("root"), limit: 1_000_000 }.into(),
        LinkError::DuplicateLabel("a".into()).into(),
        LinkError::BrokenReference { function: function("root"), insn: 7 }.into(),
        bpfweld::Error::KernelBtf {
            object: "root.o".into(),
            source: bpfweld::KernelBtfError::Unreadable {
                path: "/sys/kernel/btf/vmlinux".into(),
                problem: "No such file or directory (os error 2)".into(),
            },
        }
        .into(),
        core_failure(),
        LoadError::Privilege(Privilege {
            what: "use bpf(2)".into(),
            missing: vec![bpfweld::kernel::Capability::Bpf],
            lockdown: None,
        })
        .into(),
        LoadError::Program { program: pid(), instance: "root.o".into(), source: refused() }.into(),
        LoadError::TooLong { program: pid(), instance: "root.o".into(), count: 5000, limit: 4096 }
            .into(),
        rejected("this is new", 0),
        rejected("BPF program is too large. Processed 1000001 insn", 100),
        LoadError::Image {
            program: pid(),
            problem: "instruction 9 is to be patched and is none".into(),
        }
        .into(),
        PinError::Exists { path: "/sys/fs/bpf/chain".into() }.into(),
        PinError::Call { step: "pin", path: "/sys/fs/bpf/chain/root".into(), source: refused() }
            .into(),
        RunError::NoTestRun(bpfweld::object::ProgramType::KPROBE).into(),
        bpfweld::BackendError::Trace(bpfweld::link::trace::TraceError::TooFar {
            program: pid(),
            instance: "root.o".into(),
        })
        .into(),
        bpfweld::BackendError::Untraceable(LoadError::Program {
            program: pid(),
            instance: "root.o".into(),
            source: io::Error::from_raw_os_error(7),
        })
        .into(),
        bpfweld::BackendError::Engine(EngineError::Instruction {
            program: pid(),
            insn: 7,
            problem: "opcode 0xff is none".into(),
        })
        .into(),
    ]
}

/// A refusal by the verifier, behind so many rounds of a loop of two lines.
fn chain_failures() -> Vec<Failure> {
    let interface = || "eth0".to_owned();
    let errors = [
        ChainError::NoInterface { interface: interface() },
        ChainError::Foreign {
            interface: interface(),
            program: "`xdp_dispatcher`, id 41, tag 94d5f00c20184d17, native mode".into(),
        },
        ChainError::NoMember {
            interface: interface(),
            wanted: "called `front`".into(),
            there: vec!["filter (id 1)".into(), "count (id 2)".into()],
        },
        ChainError::Variable {
            object: "limit.o".into(),
            variable: "rate".into(),
            problem: "`many` is no value of its type, unsigned int".into(),
        },
        ChainError::Frags { interface: interface(), mtu: 9000, program: "count".into() },
        ChainError::Attach {
            interface: interface(),
            mode: "native",
            problem: "the driver has no such mode (Operation not supported (os error 95))".into(),
            unsupported: true,
        },
        ChainError::Locked { path: "/run/bpfweld/lock".into() },
        ChainError::Plan {
            path: "xdp.toml".into(),
            problem: "`eth0` has two programs called `front`; give one another name".into(),
        },
        ChainError::State {
            path: "/run/bpfweld/4026531840-2/current".into(),
            problem: "version 9, this bpfweld knows 1".into(),
        },
    ];
    errors.into_iter().map(Failure::from).collect()
}

fn link_failures() -> Vec<Failure> {
    let object = |name: &str| format!("{name}.o");
    let errors = [
        static_link::LinkError::TwoArenas {
            first: object("a"),
            first_map: "arena".into(),
            second: object("b"),
            second_map: "heap".into(),
        },
        static_link::LinkError::Section {
            section: ".data.state".into(),
            first: object("a"),
            second: object("b"),
            why: "its flags are 0x3 there and 0x1 here".into(),
        },
        static_link::LinkError::TooLarge("70000 sections".into()),
    ];
    errors.into_iter().map(Failure::from).collect()
}

fn rejected(message: &str, rounds: usize) -> Failure {
    let line = |number: u32, text: &str| {
        let mut site = site();
        site.source =
            site.source.map(|at| SourceLine { line: number, text: text.into(), column: 3, ..at });
        site
    };
    let round = [line(9, "\tfor (i = 0; i < 1000000; i++)"), line(10, "\t\tsum += next(sum);")];
    let mut way: Vec<Site> = round.into_iter().cycle().take(2 * rounds).collect();
    way.push(site());
    LoadError::Rejected(Box::new(bpfweld::kernel::Rejected {
        program: "root".into(),
        instance: "root.o".into(),
        errno: io::Error::from_raw_os_error(22),
        log: bpfweld::kernel::VerifierLog::new(format!(
            "7: (61) r0 = *(u32 *)(r1 +8)\n{message}\n"
        )),
        poison: None,
        way,
    }))
    .into()
}

fn core_failure() -> Failure {
    let source = CoreError {
        object: "root.o".into(),
        function: "root".into(),
        insn: 7,
        kind: 0,
        subject: "struct task_struct, member pid (0:1)".into(),
        problem: Box::new(CoreProblem::NoTargets),
    };
    LinkError::Core { site: Box::new(site()), source }.into()
}

fn faults() -> Vec<FaultKind> {
    vec![
        FaultKind::Access { size: 1, write: false, place: "offset 4000 of a packet of 64".into() },
        FaultKind::Helper { name: "bpf_get_current_task".into() },
        FaultKind::Argument { helper: "bpf_map_lookup_elem".into(), problem: "no map".into() },
        FaultKind::KernelFunction { name: "bpf_weak_one".into() },
        FaultKind::Frames,
        FaultKind::Instructions { limit: 1 << 28 },
        FaultKind::Calls { limit: 1 << 26 },
        FaultKind::LeftProgram,
        FaultKind::Instruction("atomic operation on a stack slot that is not aligned"),
    ]
}

fn by_hand() -> BTreeMap<String, String> {
    let failures = failures().into_iter().chain(chain_failures()).chain(link_failures());
    let failures = failures.map(|failure| {
        let mut out = Vec::new();
        failure.render(&mut out, Style::plain(), false, &mut Sources::none()).unwrap();
        (failure.code.to_owned(), String::from_utf8(out).unwrap())
    });
    let faults = faults().into_iter().map(|kind| {
        let code = kind.code().to_owned();
        let line = site().source.map(|at| bpfweld::engine::SourceLine {
            file: at.file,
            line: at.line,
            column: at.column,
            text: at.text,
        });
        let (program, function) = ("root".to_owned(), "root".to_owned());
        let fault = Fault { program, function, insn: 7, line, kind };
        (code, format!("{fault}\n"))
    });
    failures.chain(faults).collect()
}

#[test]
fn examples_made_by_hand_are_what_the_command_prints() {
    let path = root().join("docs/errors.md");
    let mut text = fs::read_to_string(&path).unwrap();
    let page = page();
    for (code, example) in by_hand() {
        let shown = page.get(&code).unwrap_or_else(|| panic!("no section {code}"));
        if std::env::var_os("BPFWELD_WRITE_EXAMPLES").is_some() {
            let at = text.find(&format!("\n## {code}: ")).unwrap();
            let from = at + text[at..].find("```text\n").unwrap() + "```text\n".len();
            let to = from + text[from..].find("```").unwrap();
            text.replace_range(from..to, &example);
            fs::write(&path, &text).unwrap();
        } else {
            assert_eq!(*shown, example, "docs/errors.md, {code}");
        }
    }
}

/// An example is one made by hand, or that of a case.
#[test]
fn every_example_is_compared() {
    let by_hand = by_hand();
    let mut documented = BTreeSet::new();
    for dir in fs::read_dir(root().join("cases")).unwrap() {
        let Ok(files) = fs::read_dir(dir.unwrap().path()) else { continue };
        for file in files {
            let text = fs::read(file.unwrap().path()).unwrap();
            let text = String::from_utf8_lossy(&text);
            let directives = text.lines().filter_map(|line| line.strip_prefix("//@ documents: "));
            for code in directives {
                assert!(documented.insert(code.to_owned()), "{code} is documented by two cases");
            }
        }
    }
    for (code, example) in page() {
        assert!(!example.is_empty(), "{code} has no example");
        assert_ne!(
            by_hand.contains_key(&code),
            documented.contains(&code),
            "{code}: an example by hand, or a case, and not both"
        );
    }
}

#[test]
fn the_page_has_every_code_and_no_other() {
    let mut codes = BTreeSet::new();
    let mut dirs = vec![root().join("crates")];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("tests") {
                dirs.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") && path.iter().any(|p| p == "src")
            {
                let text = fs::read_to_string(&path).unwrap();
                let text = text.split("#[cfg(test)]\nmod tests").next().unwrap();
                codes.extend(text.match_indices("\"E0").filter_map(|(at, _)| {
                    let code = text.get(at + 1..at + 6)?;
                    let ends = text.get(at + 6..at + 7)? == "\"";
                    (ends && code[1..].bytes().all(|b| b.is_ascii_digit())).then(|| code.to_owned())
                }));
            }
        }
    }
    assert!(codes.len() > 50, "{codes:?}");
    let page: BTreeSet<_> = page().into_keys().collect();
    assert_eq!(page, codes);
}
