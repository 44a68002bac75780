//! Context arguments of global functions, told by a tag: `int f(void *ctx __arg_ctx)` takes the context of
//! whatever program calls it. Kernels before 6.8 do not know the tag. They tell a context by the name of
//! the struct that a parameter points to, which is another for each type of program; so on them such a
//! function is given to the kernel with a prototype that fits the program, one for each type that it is
//! in.

use std::borrow::Cow;
use std::collections::HashMap;

use bpfweld_btf::{Btf, BtfBuilder, Kind, Linkage, Type, TypeId};
use bpfweld_link::{ImageFunction, ImageSet};
use bpfweld_object::ProgramType;

use crate::facts::prog_type;

/// The tag on a parameter.
const TAG: &str = "arg:ctx";

/// Functions with another prototype than their own.
#[derive(Default)]
pub(crate) struct Contexts {
    /// (name of the context struct, FUNC) → FUNC.
    rewritten: HashMap<(&'static str, TypeId), TypeId>,
}

impl Contexts {
    /// The FUNC to name instead of the function's own, in a program of this type.
    pub(crate) fn of(&self, program: ProgramType, function: &ImageFunction) -> Option<TypeId> {
        let context = context_name(program).filter(|_| function.global)?;
        self.rewritten.get(&(context, function.type_id)).copied()
    }
}

/// Is there such a tag at all?
pub(crate) fn is_used(btf: &Btf) -> bool {
    btf.types().any(is_tag)
}

/// The set's BTF with the prototypes that its images need behind it. Apart from what all sets need.
#[inline(never)]
pub(crate) fn rewrite(set: &ImageSet) -> (Cow<'_, Btf>, Contexts) {
    let btf = &set.btf;
    let mut tagged: HashMap<TypeId, Vec<usize>> = HashMap::new();
    for tag in btf.types().filter(|ty| is_tag(*ty)) {
        if let (Kind::Func, Some(parameter)) = (tag.target().kind(), tag.component()) {
            tagged.entry(tag.type_id()).or_default().push(parameter as usize);
        }
    }
    let mut out = BtfBuilder::extending(btf);
    let mut contexts = Contexts::default();
    for image in &set.images {
        let Some(context) = context_name(image.program.prog_type) else { continue };
        // The entry is called by the kernel, which does not look at its prototype.
        for function in image.functions.iter().skip(1).filter(|f| f.global) {
            let key = (context, function.type_id);
            let Some(parameters) = tagged.get(&function.type_id) else { continue };
            if contexts.rewritten.contains_key(&key) {
                continue;
            }
            let func = btf.ty(function.type_id);
            if let Some(new) = with_context(&mut out, func, parameters, context) {
                contexts.rewritten.insert(key, new);
            }
        }
    }
    match out.finish() {
        Ok(extended) => (Cow::Owned(extended), contexts),
        // Too many types for one blob: then the kernel says what it thinks of the tag.
        Err(_) => (Cow::Borrowed(btf), Contexts::default()),
    }
}

fn is_tag(ty: Type<'_>) -> bool {
    ty.kind() == Kind::DeclTag && ty.name() == TAG
}

/// A copy of a FUNC whose tagged parameters are pointers to the context struct; `None` when one of them
/// is something that no context can be.
fn with_context(
    out: &mut BtfBuilder,
    func: Type<'_>,
    tagged: &[usize],
    context: &str,
) -> Option<TypeId> {
    let proto = func.target();
    if proto.kind() != Kind::FuncProto {
        return None;
    }
    let mut params = Vec::new();
    for (index, param) in proto.params().enumerate() {
        let is_context = tagged.contains(&index);
        if is_context && func.btf().resolve(param.type_id).kind() != Kind::Ptr {
            return None;
        }
        params.push((param.name, param.type_id, is_context));
    }
    // A name is all that the kernel looks at: the size of the struct does not matter.
    let pointed = out.add_struct(context, 0, &[]);
    let pointer = out.add_ptr(pointed);
    let params: Vec<(&str, TypeId)> = params
        .into_iter()
        .map(|(name, type_id, is_context)| (name, if is_context { pointer } else { type_id }))
        .collect();
    let proto = out.add_func_proto(proto.type_id(), &params);
    Some(out.add_func(func.name(), proto, Linkage::Global))
}

/// What the kernel calls the context that programs of a type are given (kernel header
/// `linux/bpf_types.h`); `None` for those whose context is no struct.
fn context_name(program: ProgramType) -> Option<&'static str> {
    use prog_type::*;
    Some(match program.0 {
        SOCKET_FILTER | SCHED_CLS | SCHED_ACT | CGROUP_SKB | LWT_IN | LWT_OUT | LWT_XMIT
        | LWT_SEG6LOCAL | SK_SKB | FLOW_DISSECTOR => "__sk_buff",
        KPROBE => "bpf_user_pt_regs_t",
        XDP => "xdp_md",
        PERF_EVENT => "bpf_perf_event_data",
        CGROUP_SOCK => "bpf_sock",
        SOCK_OPS => "bpf_sock_ops",
        CGROUP_DEVICE => "bpf_cgroup_dev_ctx",
        SK_MSG => "sk_msg_md",
        RAW_TRACEPOINT | RAW_TRACEPOINT_WRITABLE => "bpf_raw_tracepoint_args",
        CGROUP_SOCK_ADDR => "bpf_sock_addr",
        SK_REUSEPORT => "sk_reuseport_md",
        CGROUP_SYSCTL => "bpf_sysctl",
        CGROUP_SOCKOPT => "bpf_sockopt",
        SK_LOOKUP => "bpf_sk_lookup",
        NETFILTER => "bpf_nf_ctx",
        _ => return None,
    })
}
