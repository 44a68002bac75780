//! What was fused, and why the rest was not.

use std::fmt;

use bpfweld_object::FuncId;

use crate::image::InstanceId;

/// What fusing made of a set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FuseReport {
    /// One for each image of the set.
    pub images: Vec<ImageReport>,
}

impl FuseReport {
    /// Was any call fused?
    pub fn any(&self) -> bool {
        self.images.iter().any(|image| !image.fused.is_empty())
    }
}

/// What fusing made of one image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageReport {
    /// Calls that went inline, in the order of the callers and their code.
    pub fused: Vec<FusedCall>,
    /// Functions of which at least one call stayed, and why; once for each reason.
    pub kept: Vec<KeptCall>,
    /// Which function the code of the new image is from, by rising slot and without gaps. One function
    /// may have several.
    pub regions: Vec<Region>,
    /// Instruction slots before.
    pub insns_before: usize,
    /// Instruction slots after.
    pub insns_after: usize,
}

/// A function of an object in a link.
pub type Origin = (InstanceId, FuncId);

/// A call that went inline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FusedCall {
    /// The function that called.
    pub caller: Origin,
    /// The function that was called.
    pub callee: Origin,
    /// Its name.
    pub name: String,
}

/// A function that is still called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptCall {
    /// The function that calls.
    pub caller: Origin,
    /// The function that is called.
    pub callee: Origin,
    /// Its name.
    pub name: String,
    /// Why.
    pub why: Why,
}

/// A stretch of code from one function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// Its first slot in the new image.
    pub start: u32,
    /// Slots.
    pub len: u32,
    /// Index into the *old* image's functions.
    pub function: u32,
}

/// Why a call stays a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Why {
    /// The policy is to leave it: a call inside one object, which its author made a function.
    SameObject,
    /// The policy is to leave it: too many instructions for a function with several callers.
    Size,
    /// The program would get longer than is good for the verifier.
    Length,
    /// It tail-calls: what is called so returns to the caller of the function, which is then another.
    TailCall,
    /// Its address is taken: it is a callback.
    Callback,
    /// It has loops that the verifier bounds (`may_goto`), whose budget belongs to a frame.
    MayGoto,
    /// It loads from the packet in the legacy way, which leaves the function at the packet's end.
    LegacyLoad,
    /// It uses the frame pointer in a way that cannot be followed.
    FramePointer,
    /// The caller's own use of its stack cannot be followed.
    CallersFrame,
    /// The frames together are larger than 512 bytes, or than 256 above a function that tail-calls.
    Stack,
    /// It calls itself.
    Recursion,
    /// A jump would not fit in 16 bits.
    JumpRange,
    /// Its control flow cannot be followed: an indirect jump or call, a jump out of the function.
    Control,
    /// Whoever fused asked for it to be left out.
    Excluded,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SameObject => "it is called within its own object",
            Self::Size => "it is long and called from several places",
            Self::Length => "the program would get too long",
            Self::TailCall => "it tail-calls, and the chain is to go on behind that",
            Self::Callback => "it is a callback",
            Self::MayGoto => "it has loops with `may_goto`",
            Self::LegacyLoad => "it loads from the packet by a legacy instruction",
            Self::FramePointer => "it uses its frame pointer in a way that cannot be followed",
            Self::CallersFrame => "its caller uses the stack in a way that cannot be followed",
            Self::Stack => "the stack would get too large",
            Self::Recursion => "it calls itself",
            Self::JumpRange => "a jump would get too long",
            Self::Control => "its control flow cannot be followed",
            Self::Excluded => "the kernel refused the program with it",
        })
    }
}
