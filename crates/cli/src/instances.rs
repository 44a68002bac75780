//! From the command line to the objects of a link: which files, under which labels, bound how.
//! Asks the file system what exists, and opens no object.

use std::collections::HashMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::args::LinkArgs;
use crate::args::static_link::StaticLinkArgs;
use crate::binding::{Binding, Known, is_symbol};
use crate::error::Failure;

/// Entries of a directory that are looked through for a name like the one that is not there.
const MAX_LOOK: usize = 4096;

/// The objects of a link and what binds them; indices are into `instances`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wiring {
    /// What to open; the first is the root.
    pub(crate) instances: Vec<Instance>,
    /// In the order of the command line.
    pub(crate) bindings: Vec<Wire>,
}

/// One use of an object.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Instance {
    /// A label of `--object`, or the path as it was first written.
    pub(crate) label: String,
    /// The file.
    pub(crate) path: PathBuf,
}

/// A `--bind`, its names looked up.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wire {
    /// Who wants it.
    pub(crate) caller: usize,
    /// The extern.
    pub(crate) name: String,
    /// Who has it.
    pub(crate) target: usize,
    /// Which of its functions.
    pub(crate) function: Option<String>,
}

impl Wiring {
    /// Looks up every name of the command line.
    pub(crate) fn new(args: &LinkArgs) -> Result<Self, Failure> {
        let mut finder = Finder::of(&args.objects, &args.labels)?;
        let bindings = finder.bindings(&args.bind, 0)?;
        Ok(Self { instances: finder.instances, bindings })
    }
}

/// What `link` is to do, its names looked up; indices are into `wiring.instances`.
#[derive(Debug)]
pub(crate) struct Edits {
    /// The objects and what binds them.
    pub(crate) wiring: Wiring,
    /// `--root`.
    pub(crate) root: Option<usize>,
    /// `--rename`: in which object or in all, the old name, the new one.
    pub(crate) renames: Vec<(Option<usize>, String, String)>,
    /// `--localize`: in which object or in all, the pattern.
    pub(crate) localize: Vec<(Option<usize>, String)>,
}

impl Edits {
    /// Looks up every name of the command line.
    pub(crate) fn new(args: &StaticLinkArgs) -> Result<Self, Failure> {
        let mut finder = Finder::of(&args.objects, &args.labels)?;
        let root = match &args.root {
            Some(name) => Some(finder.named(name, &format!("--root {name}"))?),
            None => None,
        };
        let bindings = finder.bindings(&args.bind, root.unwrap_or(0))?;
        let mut renames = Vec::new();
        for text in &args.rename {
            let parts =
                text.rsplit_once('=').filter(|(old, new)| !old.is_empty() && is_symbol(new));
            let (left, new) = parts.ok_or_else(|| {
                Failure::usage(format!("renaming `{text}` does not read [INSTANCE:]OLD=NEW"))
            })?;
            let (of, old) = finder.scoped(left, &format!("--rename {text}"))?;
            renames.push((of, old, new.to_owned()));
        }
        let mut localize = Vec::new();
        for text in &args.localize {
            localize.push(finder.scoped(text, &format!("--localize {text}"))?);
        }
        let wiring = Wiring { instances: finder.instances, bindings };
        Ok(Self { wiring, root, renames, localize })
    }
}

struct Finder<'a> {
    labels: &'a [(String, String)],
    instances: Vec<Instance>,
    /// Instances that go by their path, by that path in its plainest form.
    by_path: HashMap<PathBuf, usize>,
    /// Instances that go by a label.
    by_label: HashMap<String, usize>,
}

impl<'a> Finder<'a> {
    fn new(labels: &'a [(String, String)]) -> Result<Self, Failure> {
        for (at, (label, path)) in labels.iter().enumerate() {
            if let Some((_, first)) = labels[..at].iter().find(|(l, _)| l == label) {
                return Err(Failure::usage(format!(
                    "label `{label}` is given twice: to {first} and to {path}"
                )));
            }
        }
        Ok(Self {
            labels,
            instances: Vec::new(),
            by_path: HashMap::new(),
            by_label: HashMap::new(),
        })
    }

    /// The OBJECT arguments, and the labels.
    fn of(objects: &[PathBuf], labels: &'a [(String, String)]) -> Result<Self, Failure> {
        let mut finder = Self::new(labels)?;
        for object in objects {
            finder.listed(object);
        }
        // Labelled objects take part in the link even when nothing else names them: an extern may
        // resolve to one of their functions by name.
        for (label, _) in labels {
            finder.labelled(label);
        }
        Ok(finder)
    }

    /// All `--bind` options; `root` is who wants what no INSTANCE stands before.
    fn bindings(&mut self, bind: &[String], root: usize) -> Result<Vec<Wire>, Failure> {
        let mut bindings = Vec::new();
        for text in bind {
            let binding = Binding::parse(text, |name| self.known(name))
                .map_err(|error| Failure::usage(error.to_string()))?;
            bindings.push(Wire {
                caller: binding.caller.map_or(Ok(root), |name| self.named(name, text))?,
                name: binding.name.to_owned(),
                target: self.named(binding.target, text)?,
                function: binding.function.map(str::to_owned),
            });
        }
        Ok(bindings)
    }

    /// `[INSTANCE:]NAME`, as a part of the option's value `text`.
    fn scoped(&mut self, scoped: &str, text: &str) -> Result<(Option<usize>, String), Failure> {
        match scoped.rsplit_once(':') {
            Some((instance, name)) => Ok((Some(self.named(instance, text)?), name.to_owned())),
            None => Ok((None, scoped.to_owned())),
        }
    }

    /// How well a name in a binding is known.
    fn known(&self, name: &str) -> Known {
        if self.labels.iter().any(|(label, _)| label == name) {
            Known::Label
        } else if self.by_path.contains_key(&plainest(Path::new(name))) {
            Known::Listed
        } else if Path::new(name).exists() {
            Known::File
        } else {
            Known::Not
        }
    }

    /// An OBJECT argument: a label or a path.
    fn listed(&mut self, object: &Path) -> usize {
        let label = object.to_str().filter(|name| self.labels.iter().any(|(l, _)| l == name));
        match label {
            Some(label) => self.labelled(label),
            None => self.path(object),
        }
    }

    fn labelled(&mut self, label: &str) -> usize {
        if let Some(at) = self.by_label.get(label) {
            return *at;
        }
        let path = self.labels.iter().find(|(l, _)| l == label).map_or("", |(_, path)| path);
        let at = self.add(label.to_owned(), PathBuf::from(path));
        self.by_label.insert(label.to_owned(), at);
        at
    }

    fn path(&mut self, path: &Path) -> usize {
        let plain = plainest(path);
        if let Some(at) = self.by_path.get(&plain) {
            return *at;
        }
        let at = self.add(path.display().to_string(), path.to_owned());
        self.by_path.insert(plain, at);
        at
    }

    fn add(&mut self, label: String, path: PathBuf) -> usize {
        self.instances.push(Instance { label, path });
        self.instances.len() - 1
    }

    /// An INSTANCE of the binding `text`.
    fn named(&mut self, name: &str, text: &str) -> Result<usize, Failure> {
        match self.known(name) {
            Known::Label => Ok(self.labelled(name)),
            Known::Listed | Known::File => Ok(self.path(Path::new(name))),
            Known::Not => Err(self.unknown(name, text)),
        }
    }

    /// What to say about a name that is neither a label nor a file.
    fn unknown(&self, name: &str, text: &str) -> Failure {
        let is_path = name.contains('/') || name.ends_with(".o");
        let failure = if is_path {
            Failure::new(format!("{}: no such file: {name}", said(text))).code(crate::error::INPUT)
        } else {
            Failure::usage(format!("{}: `{name}` is neither a label nor a file", said(text)))
        };
        let labels = self.labels.iter().map(|(label, _)| label.clone());
        let listed = self.instances.iter().map(|instance| instance.label.clone());
        let near = nearest(name, labels.chain(listed).chain(neighbours(Path::new(name))));
        if !near.is_empty() {
            failure.hint(format!("did you mean {}?", near.join(" or ")))
        } else if is_path {
            failure
        } else {
            failure.hint(format!("--object {name}=PATH makes it one"))
        }
    }
}

/// Where a name was written.
fn said(text: &str) -> String {
    match text.starts_with("--") {
        true => text.to_owned(),
        false => format!("binding `{text}`"),
    }
}

/// One form for all ways to write a path. Where the file does not exist, `.` goes and the rest stays.
fn plainest(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| {
        path.components().filter(|part| !matches!(part, Component::CurDir)).collect()
    })
}

/// Object files in the directory of a file that is not there, written the way that file was.
pub(crate) fn neighbours(path: &Path) -> Vec<String> {
    let dir = path.parent().unwrap_or(Path::new(""));
    let look = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    let Ok(entries) = fs::read_dir(look) else { return Vec::new() };
    let names =
        entries.take(MAX_LOOK).filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let objects = names.filter(|name| name.ends_with(".o"));
    let mut paths: Vec<_> =
        objects.filter_map(|name| Some(dir.join(name).to_str()?.to_owned())).collect();
    paths.sort();
    paths
}

/// The up to three of `offered` that are most like `name`, best first; none that is not like it.
pub(crate) fn nearest(name: &str, offered: impl IntoIterator<Item = String>) -> Vec<String> {
    // Long directories must not make unlike file names alike.
    let last = name.rsplit('/').next().unwrap_or(name);
    let limit = last.chars().count().div_ceil(3).clamp(1, 3);
    let mut near: Vec<_> = offered
        .into_iter()
        .filter_map(|offer| Some((distance(name, &offer, limit)?, offer)))
        .collect();
    near.sort();
    near.dedup();
    near.into_iter().take(3).map(|(_, offer)| offer).collect()
}

/// Characters to add, drop, replace or swap with their neighbour to make `a` of `b`; `None` above
/// `limit`.
fn distance(a: &str, b: &str, limit: usize) -> Option<usize> {
    let a: Vec<char> = a.chars().flat_map(char::to_lowercase).collect();
    let b: Vec<char> = b.chars().flat_map(char::to_lowercase).collect();
    if a.len().abs_diff(b.len()) > limit {
        return None;
    }
    let mut above: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let replaced = row[j] + usize::from(x != y);
            let mut best = replaced.min(row[j + 1] + 1).min(next[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                best = best.min(above[j - 1] + 1);
            }
            next.push(best);
        }
        above = std::mem::replace(&mut row, next);
    }
    row.last().copied().filter(|distance| *distance <= limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wiring(
        objects: &[&Path],
        labels: &[(&str, &Path)],
        bind: &[String],
    ) -> Result<Wiring, Failure> {
        let labels = labels.iter().map(|(l, p)| ((*l).to_owned(), p.to_str().unwrap().to_owned()));
        Wiring::new(&LinkArgs {
            objects: objects.iter().map(|p| p.to_path_buf()).collect(),
            labels: labels.collect(),
            bind: bind.to_vec(),
            entry: None,
            static_functions: false,
            fuse: crate::args::FuseArg::Auto,
            kconfig: None,
            kernel_btf: None,
            log_level: 0,
            pin_root: None,
            map_changes: Vec::new(),
            programs: Vec::new(),
            targets: Vec::new(),
            without: Vec::new(),
        })
    }

    fn files(names: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for name in names {
            fs::create_dir_all(dir.path().join(name).parent().unwrap()).unwrap();
            fs::write(dir.path().join(name), "").unwrap();
        }
        dir
    }

    fn labels(wiring: &Wiring) -> Vec<&str> {
        wiring.instances.iter().map(|i| i.label.rsplit('/').next().unwrap()).collect()
    }

    #[test]
    fn the_first_object_is_the_root_and_bindings_bring_their_own() {
        let dir = files(&["root.o", "filter.o"]);
        let (root, filter) = (dir.path().join("root.o"), dir.path().join("filter.o"));
        let wired = wiring(&[&root], &[], &[format!("prog1={}:drop", filter.display())]).unwrap();
        assert_eq!(labels(&wired), ["root.o", "filter.o"]);
        assert_eq!(
            wired.bindings,
            [Wire { caller: 0, name: "prog1".into(), target: 1, function: Some("drop".into()) }]
        );
    }

    #[test]
    fn one_path_written_two_ways_is_one_instance() {
        let dir = files(&["root.o", "sub/filter.o"]);
        let d = dir.path().display();
        let (root, filter) = (dir.path().join("root.o"), dir.path().join("sub/filter.o"));
        let bind = [format!("a={d}/sub/../sub/filter.o"), format!("b={d}/./sub/filter.o:x")];
        let wired = wiring(&[&root, &filter], &[], &bind).unwrap();
        assert_eq!(labels(&wired), ["root.o", "filter.o"]);
        assert_eq!(wired.bindings.iter().map(|w| w.target).collect::<Vec<_>>(), [1, 1]);
    }

    #[test]
    fn one_path_that_is_not_there_written_two_ways_is_one_instance() {
        let wired = wiring(&[Path::new("gone.o"), Path::new("./gone.o")], &[], &[]).unwrap();
        assert_eq!(labels(&wired), ["gone.o"]);
    }

    #[test]
    fn one_path_under_two_labels_is_two_instances() {
        let dir = files(&["root.o", "count.o"]);
        let (root, count) = (dir.path().join("root.o"), dir.path().join("count.o"));
        let wired =
            wiring(&[&root], &[("a", &count), ("b", &count)], &["x=a".into(), "y=b:f".into()])
                .unwrap();
        assert_eq!(labels(&wired), ["root.o", "a", "b"]);
        assert_eq!(wired.bindings.iter().map(|w| w.target).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(wired.instances[1].path, wired.instances[2].path);
    }

    #[test]
    fn an_object_may_be_a_label() {
        let dir = files(&["x.o", "y.o"]);
        let (x, y) = (dir.path().join("x.o"), dir.path().join("y.o"));
        let wired = wiring(&[Path::new("top")], &[("low", &y), ("top", &x)], &["top:e=low".into()])
            .unwrap();
        assert_eq!(labels(&wired), ["top", "low"]);
        assert_eq!((wired.bindings[0].caller, wired.bindings[0].target), (0, 1));
    }

    #[test]
    fn paths_with_equals_and_colons() {
        let dir = files(&["v=1/a:b.o", "root.o"]);
        let odd = dir.path().join("v=1/a:b.o");
        let root = dir.path().join("root.o");
        let bind = [format!("{o}:e={o}:f", o = odd.display())];
        let wired = wiring(&[&root], &[], &bind).unwrap();
        assert_eq!(wired.instances[1].path, odd);
        assert_eq!(
            wired.bindings,
            [Wire { caller: 1, name: "e".into(), target: 1, function: Some("f".into()) }]
        );
    }

    #[test]
    fn an_unknown_label_is_a_usage_error_with_the_nearest() {
        let dir = files(&["root.o"]);
        let root = dir.path().join("root.o");
        let error = wiring(&[&root], &[("filter", &root)], &["x=filtre".into()]).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("neither a label nor a file"));
        assert!(error.to_text().contains("did you mean filter?"), "{}", error.to_text());
    }

    #[test]
    fn a_missing_file_is_a_failed_job_with_the_nearest() {
        let dir = files(&["root.o", "filter.o"]);
        let root = dir.path().join("root.o");
        let bind = [format!("x={}/filtr.o", dir.path().display())];
        let error = wiring(&[&root], &[], &bind).unwrap_err();
        assert_eq!(error.exit_code(), 1);
        assert!(error.to_text().contains("filter.o?"), "{}", error.to_text());
    }

    #[test]
    fn a_label_given_twice_is_refused() {
        let error = wiring(&[Path::new("a")], &[("l", Path::new("x")), ("l", Path::new("y"))], &[])
            .unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("twice"));
    }

    #[test]
    fn distances() {
        assert_eq!(distance("filter", "filter", 2), Some(0));
        assert_eq!(distance("filter", "fitler", 2), Some(1));
        assert_eq!(distance("Filter", "filters", 2), Some(1));
        assert_eq!(distance("abc", "xyz", 2), None);
        assert_eq!(distance("", "", 0), Some(0));
        assert_eq!(
            nearest("prog", ["prog2".into(), "prog1".into(), "other".into()]),
            ["prog1", "prog2"]
        );
    }
}
