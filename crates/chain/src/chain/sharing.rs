//! Maps that a new program does not make: shared with another one, pinned by somebody, or left by the
//! program in whose place it comes.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use bpfweld::kernel::sys::MapInfo;
use bpfweld::link::ExistingMaps;
use bpfweld::object::Object;

use super::{Chain, Proposed};
use crate::build::{Pair, Shared};
use crate::error::{ChainError, list};
use crate::member::SharedMap;
use crate::state::Entry;

impl Chain<'_> {
    /// The maps of a program that one in its place can go on with.
    pub(crate) fn inherited(&self, old: &Entry, object: &Object) -> ExistingMaps {
        let sys = self.host.sys();
        let dir = self.files.maps_of(old.id);
        let mut maps = ExistingMaps::new();
        for def in &object.maps {
            let Some(pin) = old.maps.get(&def.name) else { continue };
            let Ok(fd) = sys.pinned(&dir.join(pin)) else { continue };
            let fits = sys.map_info(fd.as_fd()).is_ok_and(|info| differs(&info, def).is_none());
            if fits {
                maps.insert(def.name.clone(), Arc::new(fd));
            }
        }
        maps
    }

    /// The maps that new programs find made already, and those that they share with each other.
    pub(super) fn shared_maps(&self, members: &[Proposed]) -> Result<Shared, ChainError> {
        let existing = (0..).zip(members.iter().map(|m| m.inherited.clone())).collect();
        let mut shared = Shared { existing, pairs: Vec::new() };
        for (i, member) in members.iter().enumerate() {
            for (name, with) in &member.shared {
                match with {
                    // Of one that comes along, and whose maps are not made yet.
                    SharedMap::Member { name: other, map }
                        if let Some((owner, new)) = (0usize..)
                            .zip(members)
                            .find(|(_, m)| m.opened.entry.name == *other && m.is_new) =>
                    {
                        for (object, map) in
                            [(&member.opened.object, name), (&new.opened.object, map)]
                        {
                            if !object.maps.iter().any(|m| m.name == *map) {
                                return Err(ChainError::SharedMap {
                                    object: member.opened.object.name.clone(),
                                    map: name.clone(),
                                    with: with.to_string(),
                                    problem: format!("{} has no map `{map}`", object.name),
                                });
                            }
                        }
                        shared.pairs.push(Pair {
                            member: i,
                            name: name.clone(),
                            owner,
                            map: map.clone(),
                        });
                    }
                    _ => {
                        let fd = self.shared_map(member, name, with)?;
                        shared.existing.entry(i).or_default().insert(name.clone(), fd);
                    }
                }
            }
        }
        Ok(shared)
    }

    /// The map that a new program is to share.
    #[cold]
    fn shared_map(
        &self,
        member: &Proposed,
        name: &str,
        with: &SharedMap,
    ) -> Result<Arc<OwnedFd>, ChainError> {
        let sys = self.host.sys();
        let (path, told) = match with {
            SharedMap::Pin(path) => (Ok(path.clone()), path.display().to_string()),
            SharedMap::Member { name, map } => {
                let found = self.state.members.iter().find(|m| m.name == *name);
                let pin = found.and_then(|m| Some(self.files.maps_of(m.id).join(m.maps.get(map)?)));
                let maps = found.map(|m| m.maps.keys().map(String::as_str).collect::<Vec<_>>());
                let why = match maps {
                    None => format!("the chain has no program called `{name}`"),
                    Some(maps) => format!("`{name}` has no such map; it has: {}", list(&maps)),
                };
                (pin.ok_or(why), format!("{name}:{map}"))
            }
        };
        let problem = |problem: String| ChainError::SharedMap {
            object: member.opened.object.name.clone(),
            map: name.to_owned(),
            with: told.clone(),
            problem,
        };
        let path = path.map_err(problem)?;
        let def = member.opened.object.maps.iter().find(|m| m.name == name);
        let def = def.ok_or_else(|| {
            let maps: Vec<_> = member.opened.object.maps.iter().map(|m| &*m.name).collect();
            problem(format!("the object has no such map; it has: {}", list(&maps)))
        })?;
        let fd = sys.pinned(&path).map_err(|e| problem(e.to_string()))?;
        let info = sys.map_info(fd.as_fd()).map_err(|e| problem(e.to_string()))?;
        match differs(&info, def) {
            Some(difference) => Err(problem(difference)),
            None => Ok(Arc::new(fd)),
        }
    }
}

/// How a map that exists differs from a definition, in words.
fn differs(info: &MapInfo, def: &bpfweld::object::MapDef) -> Option<String> {
    // Flags that the kernel or the loader adds are of no account: those of a definition have to be there.
    let pairs = [
        ("type", info.map_type, def.map_type),
        ("key size", info.key_size, def.key_size),
        ("value size", info.value_size, def.value_size),
        ("flags", info.map_flags & def.map_flags, def.map_flags),
        // 0: the loader fills it in.
        (
            "number of entries",
            info.max_entries,
            if def.max_entries == 0 { info.max_entries } else { def.max_entries },
        ),
    ];
    let found = pairs.into_iter().find(|(_, has, wants)| has != wants);
    found.map(|(what, has, wants)| format!("its {what} is {has}, the object wants {wants}"))
}
