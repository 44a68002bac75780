//! Instructions as the loop runs them: one variant for each combination of operation, width and
//! kind of operand, jump targets absolute, immediates extended.

/// An instruction, 16 bytes. Indices stay those of the image: behind a 64-bit immediate load is a
/// slot that cannot be run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Op {
    pub(crate) code: Code,
    pub(crate) dst: u8,
    pub(crate) src: u8,
    /// Offset of an access, target slot of a jump or call.
    pub(crate) off: i32,
    /// Immediate, sign-extended; number of a helper.
    pub(crate) imm: u64,
}

/// Suffixes: `K` immediate, `X` register; 64 and 32 are the operation's width.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[rustfmt::skip]
pub(crate) enum Code {
    Add64K, Add64X, Add32K, Add32X, Sub64K, Sub64X, Sub32K, Sub32X,
    Mul64K, Mul64X, Mul32K, Mul32X, Div64K, Div64X, Div32K, Div32X,
    Or64K, Or64X, Or32K, Or32X, And64K, And64X, And32K, And32X,
    Lsh64K, Lsh64X, Lsh32K, Lsh32X, Rsh64K, Rsh64X, Rsh32K, Rsh32X,
    Mod64K, Mod64X, Mod32K, Mod32X, Xor64K, Xor64X, Xor32K, Xor32X,
    Mov64K, Mov64X, Mov32K, Mov32X, Arsh64K, Arsh64X, Arsh32K, Arsh32X,
    SDiv64K, SDiv64X, SDiv32K, SDiv32X, SMod64K, SMod64X, SMod32K, SMod32X,
    Neg64, Neg32,
    /// Sign-extending moves: from width, to width.
    Mov8To64, Mov16To64, Mov32To64, Mov8To32, Mov16To32,
    /// To little or big endian, of so many bits; and an unconditional swap.
    Le16, Le32, Le64, Be16, Be32, Be64, Swap16, Swap32, Swap64,
    /// 64-bit immediate; the next slot is skipped.
    Imm64,
    Ja,
    JEq64K, JEq64X, JEq32K, JEq32X, JNe64K, JNe64X, JNe32K, JNe32X,
    JGt64K, JGt64X, JGt32K, JGt32X, JGe64K, JGe64X, JGe32K, JGe32X,
    JLt64K, JLt64X, JLt32K, JLt32X, JLe64K, JLe64X, JLe32K, JLe32X,
    JSet64K, JSet64X, JSet32K, JSet32X,
    JSGt64K, JSGt64X, JSGt32K, JSGt32X, JSGe64K, JSGe64X, JSGe32K, JSGe32X,
    JSLt64K, JSLt64X, JSLt32K, JSLt32X, JSLe64K, JSLe64X, JSLe32K, JSLe32X,
    /// Goes to the target once the frame's counter is used up.
    MayGoto,
    Load8, Load16, Load32, Load64, LoadS8, LoadS16, LoadS32,
    StoreK8, StoreK16, StoreK32, StoreK64, StoreX8, StoreX16, StoreX32, StoreX64,
    /// `imm` says which.
    Atomic32, Atomic64,
    /// Legacy loads from the packet, of so many bytes; `imm` + register for the indirect ones.
    Abs8, Abs16, Abs32, Ind8, Ind16, Ind32,
    /// A function of the program, at slot `off`.
    Call,
    /// `bpf_map_lookup_elem`, the most frequent one.
    MapLookup,
    TailCall,
    Helper,
    /// A kernel function that is not there; `imm` is the index of its reloc.
    KernelFunction,
    /// A kernel function that does nothing here.
    Nothing,
    Exit,
    /// The second half of a 64-bit immediate load.
    Half,
    /// clang makes these; no kernel takes them.
    Indirect,
}
