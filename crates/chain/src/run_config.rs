//! What a program's object says of how it wants to run: libxdp's metadata. BTF has a section
//! `.xdp_run_config` with a variable `_PROGRAM` for each program that has any, a struct whose members
//! are pointers to arrays; an array's number of elements is the value.

use bpfweld::btf::{Btf, Kind, TypeId};
use bpfweld::link::XDP_VERDICTS;
use bpfweld::link::chain_root::Verdicts;

/// Name of the section.
const SECTION: &str = ".xdp_run_config";
/// Priority of a program that says none (`XDP_DEFAULT_RUN_PRIO` of libxdp's `xdp_helpers.h`).
pub const DEFAULT_PRIORITY: u32 = 50;

/// How a program wants to run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RunConfig {
    /// Programs with smaller ones run earlier.
    pub priority: u32,
    /// After which verdicts the chain goes on.
    pub goes_on: Verdicts,
}

impl Default for RunConfig {
    fn default() -> Self {
        Self { priority: DEFAULT_PRIORITY, goes_on: Verdicts::PASS }
    }
}

impl RunConfig {
    /// What the types of an object say of a program; the defaults where they say nothing. The error is
    /// a sentence about what is wrong with them.
    pub fn of(btf: &Btf, program: &str) -> Result<Self, String> {
        let mut config = Self::default();
        let Some(section) = btf.find(Kind::Datasec, SECTION) else { return Ok(config) };
        let is = |id: TypeId| btf.ty(id).name().strip_prefix('_') == Some(program);
        let Some(var) = section.section_vars().find(|v| is(v.type_id)) else { return Ok(config) };
        let ty = btf.resolve(btf.ty(var.type_id).type_id());
        if ty.kind() != Kind::Struct {
            return Err("it is no struct".into());
        }
        let mut bits = config.goes_on.bits();
        for member in ty.members() {
            let name = member.name;
            let value = number(btf, member.type_id)
                .ok_or_else(|| format!("`{name}` is no pointer to an array"))?;
            if name == "priority" {
                config.priority = value;
            } else if let Some(verdict) = (0..).zip(XDP_VERDICTS).find(|(_, v)| *v == name) {
                let bit = 1u32 << verdict.0;
                bits = if value == 0 { bits & !bit } else { bits | bit };
            } else {
                return Err(format!("`{name}` is neither `priority` nor a verdict"));
            }
        }
        config.goes_on = Verdicts::from_bits(bits).unwrap_or_default();
        Ok(config)
    }
}

/// The number that `__uint(NAME, NUMBER)` makes a type of.
fn number(btf: &Btf, id: TypeId) -> Option<u32> {
    let ptr = btf.resolve(id);
    let array = (ptr.kind() == Kind::Ptr).then(|| btf.resolve(ptr.type_id()))?;
    (array.kind() == Kind::Array).then(|| array.array_len())
}

#[cfg(test)]
mod tests {
    use bpfweld::btf::{BtfBuilder, IntEncoding, Linkage, MemberSpec, SectionVar};

    use super::*;

    fn config(members: &[(&str, u32)]) -> Btf {
        let mut b = BtfBuilder::new();
        let int = IntEncoding { signed: true, bits: 32, ..IntEncoding::default() };
        let int = b.add_int("int", 4, int);
        let mut specs = Vec::new();
        for (i, (name, value)) in (0..).zip(members) {
            let array = b.add_array(int, int, *value);
            let type_id = b.add_ptr(array);
            specs.push(MemberSpec { name, type_id, bit_offset: i * 64, bitfield_size: 0 });
        }
        let size = 8 * members.len() as u32;
        let ty = b.add_struct("", size, &specs);
        let var = b.add_var("_prog", ty, Linkage::Global);
        b.add_datasec(SECTION, size, &[SectionVar { type_id: var, offset: 0, size }]);
        b.finish().unwrap()
    }

    #[test]
    fn what_is_said_counts() {
        let btf = config(&[("priority", 10), ("XDP_PASS", 0), ("XDP_DROP", 1)]);
        let found = RunConfig::of(&btf, "prog").unwrap();
        assert_eq!((found.priority, found.goes_on.bits()), (10, 1 << 1));
        assert_eq!(RunConfig::of(&btf, "other").unwrap(), RunConfig::default());
    }

    #[test]
    fn what_is_not_understood_is_said() {
        let error = RunConfig::of(&config(&[("prio", 10)]), "prog").unwrap_err();
        assert!(error.contains("`prio`"), "{error}");
    }
}
