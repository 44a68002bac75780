//! Two records → differences.

use std::collections::BTreeMap;

use crate::record::{Load, Map, Program, Side};

/// One difference.
pub struct Difference {
    /// Empty for one that is the object's.
    pub program: String,
    /// See [`CATEGORIES`].
    pub category: &'static str,
    /// What bpfweld has, line by line, and what libbpf has.
    pub lines: Vec<String>,
}

/// Kinds of differences, in the order of the table.
pub const CATEGORIES: [(&str, &str); 11] = [
    ("crash", "a side crashed or hung"),
    ("open", "one side opens the object"),
    ("programs", "the lists of programs differ"),
    ("type", "section name → type, attach type, autoload"),
    ("reach", "one side gets to the kernel"),
    ("attributes", "what the kernel is asked for beside the instructions"),
    ("debug", "func_info and line_info"),
    ("instructions", "final instructions"),
    ("maps", "maps as made"),
    ("verdict", "the kernel takes one side's"),
    ("reason", "the kernel refuses both, for other reasons"),
];

/// What differs between the two.
pub fn compare(ours: &Side, theirs: &Side) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut object = |category, lines| {
        found.push(Difference { program: String::new(), category, lines });
    };
    if ours.crash.is_some() || theirs.crash.is_some() {
        object("crash", pair(&ours.crash, &theirs.crash));
        return found;
    }
    if ours.open_error.is_some() || theirs.open_error.is_some() {
        if ours.open_error.is_some() != theirs.open_error.is_some() {
            object("open", pair(&ours.open_error, &theirs.open_error));
        }
        return found;
    }
    // libbpf's section names come without the `?`; that is in `autoload`.
    let name = |p: &Program| format!("{} {}", p.section.trim_start_matches('?'), p.name);
    let mut only: Vec<String> = Vec::new();
    for p in &ours.programs {
        if !theirs.programs.iter().any(|q| name(p) == name(q)) {
            only.push(format!("only bpfweld: {}", name(p)));
        }
    }
    for q in &theirs.programs {
        if !ours.programs.iter().any(|p| name(p) == name(q)) {
            only.push(format!("only libbpf:  {}", name(q)));
        }
    }
    if !only.is_empty() {
        object("programs", only);
    }
    for p in &ours.programs {
        if let Some(q) = theirs.programs.iter().find(|q| name(p) == name(q)) {
            program(p, q, &mut found);
        }
    }
    found
}

fn program(p: &Program, q: &Program, found: &mut Vec<Difference>) {
    let mut add = |category, lines| {
        found.push(Difference { program: p.name.clone(), category, lines });
    };
    let facts = |p: &Program| {
        format!(
            "{}: type {} attach type {} autoload {}",
            p.section.trim_start_matches('?'),
            p.prog_type,
            p.attach_type,
            p.autoload
        )
    };
    if facts(p) != facts(q) {
        add("type", pair(&Some(facts(p)), &Some(facts(q))));
    }
    let (a, b) = match (&p.load, &q.load) {
        (None, None) => return,
        (Some(a), Some(b)) => (a, b),
        _ => {
            let reached = |p: &Program| match &p.load {
                Some(load) => format!("asked the kernel: {}", verdict(load)),
                None => p.error.clone().unwrap_or_else(|| "did not get there".into()),
            };
            add("reach", pair(&Some(reached(p)), &Some(reached(q))));
            return;
        }
    };
    let attributes = |l: &Load| {
        format!(
            "type {} attach type {} flags {:#x} attach BTF id {} fd {} licence {:?}",
            l.prog_type, l.attach_type, l.flags, l.attach_btf_id, l.attach_fd, l.license,
        )
    };
    let debug = |l: &Load| {
        format!("BTF {} func_info {} line_info {}", l.has_btf, l.func_infos, l.line_infos)
    };
    if attributes(a) != attributes(b) {
        add("attributes", pair(&Some(attributes(a)), &Some(attributes(b))));
    }
    if debug(a) != debug(b) {
        add("debug", pair(&Some(debug(a)), &Some(debug(b))));
    }
    let different = instructions(a, b);
    if !different.is_empty() {
        add("instructions", different);
    }
    let mut different = Vec::new();
    for map in &a.maps {
        match b.maps.iter().find(|other| other.name == map.name) {
            None => different.push(format!("only bpfweld: {map:?}")),
            Some(other) if !same_map(map, other) => {
                different.push(format!("bpfweld: {map:?}"));
                different.push(format!("libbpf:  {other:?}"));
            }
            Some(_) => {}
        }
    }
    if !different.is_empty() {
        add("maps", different);
    }
    if (a.errno == 0) != (b.errno == 0) {
        add("verdict", pair(&Some(verdict(a)), &Some(verdict(b))));
    } else if normal(&verdict(a)) != normal(&verdict(b)) {
        add("reason", pair(&Some(verdict(a)), &Some(verdict(b))));
    }
}

/// Of the kconfig externs, bpfweld's map has only those that the program uses.
fn same_map(map: &Map, other: &Map) -> bool {
    let rest = |m: &Map| Map { values: BTreeMap::new(), ..m.clone() };
    rest(map) == rest(other) && map.values.iter().all(|(k, v)| other.values.get(k) == Some(v))
}

fn instructions(a: &Load, b: &Load) -> Vec<String> {
    let names = |l: &Load| l.functions.iter().map(|f| f.name.clone()).collect::<Vec<_>>().join(" ");
    let mut lines = Vec::new();
    if a.func_infos > 0 && b.func_infos > 0 && names(a) != names(b) {
        lines.extend(pair(&Some(names(a)), &Some(names(b))));
    }
    if a.functions.len() != b.functions.len() {
        let count = |l: &Load| Some(format!("{} functions", l.functions.len()));
        lines.extend(pair(&count(a), &count(b)));
    }
    for (f, g) in a.functions.iter().zip(&b.functions) {
        let longest = f.insns.len().max(g.insns.len());
        for at in 0..longest {
            let (x, y) = (f.insns.get(at), g.insns.get(at));
            if x != y {
                lines.push(format!("{} line {at}", f.name));
                lines.extend(pair(&x.cloned(), &y.cloned()));
            }
        }
    }
    lines
}

fn verdict(load: &Load) -> String {
    match load.errno {
        0 => "loaded".into(),
        errno => {
            format!("{}: {}", std::io::Error::from_raw_os_error(errno), load.reason)
        }
    }
}

/// Numbers of instructions, ids and offsets differ with the order of functions.
fn normal(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if c.is_ascii_digit() {
            if !out.ends_with('#') {
                out.push('#');
            }
        } else {
            out.push(c);
        }
    }
    out
}

fn pair(ours: &Option<String>, theirs: &Option<String>) -> Vec<String> {
    let show = |s: &Option<String>| {
        let text = s.clone().unwrap_or_else(|| "fine".into());
        text.trim().replace('\n', " / ")
    };
    vec![format!("bpfweld: {}", show(ours)), format!("libbpf:  {}", show(theirs))]
}
