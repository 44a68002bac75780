//! struct_ops maps: tables of functions that the kernel calls. What such a map holds is laid out as
//! the kernel has its struct, whatever the object's looks like; members go by their names.
//!
//! The kernel wraps a struct `NAME` into a `bpf_struct_ops_NAME`, whose member `data` it is: that is
//! the map's value. A table is in use once the map's value is set, or, with `BPF_F_LINK`, once there
//! is a link to the map.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use bpfweld_btf::{Btf, Kind, Type};

use bpfweld_link::{MapSpec, SlotRef, StructOpsSpec};

use crate::error::{LoadError, MapProblem};
use crate::facts::attach_type;
use crate::maps::Map;
use crate::running::{KernelType, Running, without_flavour};
use crate::sys::Sys;

/// A struct of the kernel that BPF programs may implement.
#[derive(Debug)]
pub(crate) struct KernelTable<'r> {
    /// The struct around it.
    pub(crate) wrapper: KernelType<'r>,
    /// Bytes of that.
    pub(crate) size: u32,
    /// Where in it the struct is, in bytes.
    at: u32,
    table: Type<'r>,
}

impl<'r> KernelTable<'r> {
    /// What the kernel has for the object's struct; the problem in words otherwise.
    pub(crate) fn find(
        sys: &dyn Sys,
        running: &'r Running,
        kernel_btf: Option<&'r Btf>,
        types: &Btf,
        spec: &MapSpec,
    ) -> Result<Self, String> {
        let local = spec.value_type.map(|id| types.ty(id)).ok_or("its struct has no type")?;
        let name = without_flavour(local.name());
        let wanted = format!("bpf_struct_ops_{name}");
        let found = running.find(sys, kernel_btf, Kind::Struct, &wanted);
        let wrapper = found.map_err(|e| e.to_string())?.ok_or_else(|| {
            format!(
                "the kernel lets no BPF program implement `struct {name}`: neither its BTF nor those \
                 of its modules have a `struct {wanted}`"
            )
        })?;
        Self::of(wrapper, name)
            .ok_or_else(|| format!("the kernel's `struct {wanted}` holds no `struct {name}`"))
    }

    fn of(wrapper: KernelType<'r>, name: &str) -> Option<Self> {
        let outer = wrapper.btf.ty(wrapper.id);
        let (at, table) = outer.members().find_map(|m| {
            let ty = wrapper.btf.resolve(m.type_id);
            (ty.kind() == Kind::Struct && ty.name() == name).then_some((m.bit_offset / 8, ty))
        })?;
        let inside = u64::from(at) + u64::from(table.size()) <= u64::from(outer.size());
        inside.then_some(Self { wrapper, size: outer.size(), at, table })
    }

    /// The map's value. `program` gives the descriptor of an image.
    pub(crate) fn value(
        &self,
        types: &Btf,
        spec: &MapSpec,
        table: &StructOpsSpec,
        program: impl Fn(u32) -> Option<i32>,
    ) -> Result<Vec<u8>, String> {
        let mut value = vec![0; self.size as usize];
        let Some(local) = spec.value_type.map(|id| types.ty(id)) else { return Ok(value) };
        for member in local.members() {
            let (start, size) = (member.bit_offset / 8, types.ty(member.type_id).byte_size());
            let size = size.ok_or_else(|| format!("its member `{}` has no size", member.name))?;
            let bytes = part(&table.bytes, start.into(), size)
                .ok_or_else(|| format!("its member `{}` lies outside it", member.name))?;
            let image = spec.values.iter().find_map(|&(at, slot)| match slot {
                SlotRef::Image(image) if at == start => Some(image),
                _ => None,
            });
            let there = self.table.members().find(|m| m.name == member.name && !m.name.is_empty());
            let Some(there) = there else {
                // What is not set may be missing: objects outlive kernels.
                if image.is_none() && bytes.iter().all(|&b| b == 0) {
                    continue;
                }
                return Err(format!(
                    "it sets `{}`, which the kernel's `struct {}` does not have",
                    member.name,
                    self.table.name()
                ));
            };
            let differs = |what: String| {
                format!(
                    "its member `{}` {what} in the kernel's `struct {}`",
                    member.name,
                    self.table.name()
                )
            };
            if member.bitfield_size != 0 || there.bitfield_size != 0 {
                return Err(differs("is a bitfield here or".into()));
            }
            let (own, theirs) =
                (types.resolve(member.type_id), self.wrapper.btf.resolve(there.type_id));
            if own.kind() != theirs.kind() {
                return Err(differs("is of another kind".into()));
            }
            let at = u64::from(self.at) + u64::from(there.bit_offset / 8);
            let kernel_size = theirs.byte_size();
            if kernel_size != Some(size) {
                let there = kernel_size.unwrap_or(0);
                return Err(differs(format!("has {size} bytes here and {there}")));
            }
            let place = part_mut(&mut value, at, size)
                .ok_or_else(|| differs("lies outside the value".into()))?;
            match image {
                Some(_) if own.kind() != Kind::Ptr => {
                    return Err(differs("holds a program, but is no pointer".into()));
                }
                Some(image) => {
                    let fd = program(image).ok_or_else(|| {
                        format!("the program of its member `{}` is not loaded", member.name)
                    })?;
                    // As wide as the pointer that it stands for.
                    place.copy_from_slice(&i64::from(fd).to_ne_bytes());
                }
                // Pointers that are no programs are the kernel's own.
                None if own.kind() == Kind::Ptr => {}
                None => place.copy_from_slice(bytes),
            }
        }
        Ok(value)
    }
}

fn part(bytes: &[u8], at: u64, len: u64) -> Option<&[u8]> {
    let start = usize::try_from(at).ok()?;
    bytes.get(start..start.checked_add(usize::try_from(len).ok()?)?)
}

fn part_mut(bytes: &mut [u8], at: u64, len: u64) -> Option<&mut [u8]> {
    let start = usize::try_from(at).ok()?;
    bytes.get_mut(start..start.checked_add(usize::try_from(len).ok()?)?)
}

/// A table of a loaded set, for the kernel to use.
#[derive(Clone, Debug)]
pub(crate) struct Ready {
    /// Its map.
    pub(crate) map: Map,
    pub(crate) value: Vec<u8>,
    pub(crate) by_link: bool,
    /// Set while it is in use by a link.
    pub(crate) link: Option<Arc<OwnedFd>>,
    /// Set while it is in use by its value.
    pub(crate) in_use: bool,
}

impl Ready {
    pub(crate) fn new(map: Map, value: Vec<u8>, by_link: bool) -> Self {
        Self { map, value, by_link, link: None, in_use: false }
    }

    /// Gives the table to the kernel.
    pub(crate) fn register(&mut self, sys: &dyn Sys) -> Result<(), LoadError> {
        let failed = |step: &'static str, source: std::io::Error| {
            let hint = match source.raw_os_error() {
                Some(libc::EEXIST) => " (one of its name is registered already)",
                Some(libc::EBUSY) => " (it is in use already)",
                Some(libc::EINVAL) => {
                    " (a member that the kernel requires is not set, or one is set that it does not \
                     let BPF programs set)"
                }
                _ => "",
            };
            LoadError::Map {
                map: self.map.name().to_owned(),
                label: self.map.label().to_owned(),
                problem: MapProblem::Call { step, source, hint: hint.into() },
            }
        };
        let fd = self.map.fd().as_fd();
        // With a link, this only verifies and keeps what is to be registered.
        sys.update(fd, &0u32.to_ne_bytes(), &self.value).map_err(|e| failed("register", e))?;
        if self.by_link {
            let link = sys
                .create_link(Some(fd), 0, attach_type::STRUCT_OPS, 0)
                .map_err(|e| failed("link", e))?;
            self.link = Some(Arc::new(link));
        } else {
            self.in_use = true;
        }
        Ok(())
    }

    /// Takes it back. A table behind a link goes with the link's last descriptor or pin.
    pub(crate) fn unregister(&mut self, sys: &dyn Sys) {
        self.link = None;
        if std::mem::take(&mut self.in_use) {
            // One that somebody else took away meanwhile is gone, which is what is wanted.
            let _ = sys.delete(self.map.fd().as_fd(), &0u32.to_ne_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use bpfweld_btf::TypeId;
    use bpfweld_btf::{BtfBuilder, IntEncoding, MemberSpec};

    use super::*;

    fn member(name: &str, type_id: TypeId, bytes: u32) -> MemberSpec<'_> {
        MemberSpec { name, type_id, bit_offset: bytes * 8, bitfield_size: 0 }
    }

    /// `struct ops` with members at these offsets, in a wrapper that has it at 64.
    fn btf(name: &str, members: &[(&str, u32, bool)], size: u32) -> Btf {
        let mut b = BtfBuilder::new();
        let int = b.add_int("int", 4, IntEncoding { bits: 32, ..IntEncoding::default() });
        let proto = b.add_func_proto(TypeId(0), &[]);
        let ptr = b.add_ptr(proto);
        let ty = |is_ptr| if is_ptr { ptr } else { int };
        let members: Vec<_> = members.iter().map(|&(n, at, p)| member(n, ty(p), at)).collect();
        let ops = b.add_struct(name, size, &members);
        b.add_struct("bpf_struct_ops_ops", 128, &[member("data", ops, 64)]);
        b.finish().unwrap()
    }

    fn spec(types: &Btf, name: &str, values: Vec<(u32, SlotRef)>) -> MapSpec {
        MapSpec {
            value_type: types.find(Kind::Struct, name).map(|ty| ty.id()),
            values,
            ..MapSpec::new(crate::facts::map_type::STRUCT_OPS, 4, 0, 1)
        }
    }

    fn value(
        kernel: &[(&str, u32, bool)],
        own: &[(&str, u32, bool)],
        bytes: &[u8],
        values: Vec<(u32, SlotRef)>,
    ) -> Result<Vec<u8>, String> {
        let (kernel, types) = (btf("ops", kernel, 32), btf("ops___old", own, 32));
        let id = kernel.find(Kind::Struct, "bpf_struct_ops_ops").unwrap().id();
        let table = KernelTable::of(KernelType { id, btf: &kernel, module: None }, "ops").unwrap();
        assert_eq!(table.size, 128);
        let mut all = bytes.to_vec();
        all.resize(32, 0);
        let ops = StructOpsSpec { bytes: all, by_link: false };
        table.value(&types, &spec(&types, "ops___old", values), &ops, |image| {
            Some(70 + image as i32)
        })
    }

    #[test]
    fn members_go_where_the_kernel_has_them() {
        let kernel = [("new", 0, false), ("call", 8, true), ("flags", 16, false)];
        let own = [("flags", 0, false), ("call", 8, true), ("gone", 16, false)];
        let value = value(&kernel, &own, &[1, 2, 3, 4], vec![(8, SlotRef::Image(3))]).unwrap();
        let mut wanted = vec![0; 128];
        wanted[72..80].copy_from_slice(&73u64.to_ne_bytes());
        wanted[80..84].copy_from_slice(&[1, 2, 3, 4]);
        assert_eq!(value, wanted);
    }

    #[test]
    fn what_the_kernel_does_not_have_must_not_be_set() {
        let kernel = [("flags", 0, false), ("call", 8, true)];
        let gone = value(&kernel, &[("gone", 0, false)], &[1], vec![]).unwrap_err();
        assert!(gone.contains("`gone`") && gone.contains("struct ops"), "{gone}");
        let other = value(&kernel, &[("flags", 0, true)], &[], vec![]).unwrap_err();
        assert!(other.contains("another kind"), "{other}");
        let program = vec![(0, SlotRef::Image(0))];
        let number = value(&kernel, &[("flags", 0, false)], &[], program).unwrap_err();
        assert!(number.contains("no pointer"), "{number}");
    }
}
