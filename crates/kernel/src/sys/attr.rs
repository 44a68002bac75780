//! Layouts of `union bpf_attr` by command, and of what the kernel fills in (`linux/bpf.h`). Plain
//! data of integers without padding: every bit pattern is valid, every byte is written.
//!
//! Pointers are 64-bit numbers in these, on every machine.

/// A layout that can be handed to bpf(2) as bytes.
///
/// # Safety
///
/// The type is `repr(C)`, of integers (or arrays of them) only, and without padding.
#[allow(unsafe_code)] // The contract that sys/real.rs builds its byte views on.
pub(super) unsafe trait Attr: Default {}

macro_rules! attr {
    ($(#[$doc:meta])* $name:ident, $size:literal { $($field:ident: $ty:ty,)* }) => {
        $(#[$doc])*
        #[repr(C)]
        #[derive(Clone, Copy, Default, Debug)]
        pub(super) struct $name {
            $(pub(super) $field: $ty,)*
        }

        // SAFETY: repr(C), integers only; the assertion excludes padding.
        #[allow(unsafe_code)]
        unsafe impl Attr for $name {}

        const _: () = {
            assert!(size_of::<$name>() == $size);
            assert!(size_of::<$name>() == 0 $(+ size_of::<$ty>())*);
        };
    };
}

attr!(
    /// `BPF_MAP_CREATE`.
    MapCreateAttr, 80 {
        map_type: u32,
        key_size: u32,
        value_size: u32,
        max_entries: u32,
        map_flags: u32,
        inner_map_fd: u32,
        numa_node: u32,
        map_name: [u8; 16],
        map_ifindex: u32,
        btf_fd: u32,
        btf_key_type_id: u32,
        btf_value_type_id: u32,
        btf_vmlinux_value_type_id: u32,
        map_extra: u64,
        value_type_btf_obj_fd: u32,
        map_token_fd: u32,
    }
);

attr!(
    /// `BPF_MAP_*_ELEM`, `BPF_MAP_GET_NEXT_KEY`, `BPF_MAP_FREEZE`.
    MapElemAttr, 32 {
        map_fd: u32,
        _pad: u32,
        key: u64,
        value: u64,
        flags: u64,
    }
);

attr!(
    /// `BPF_PROG_LOAD`.
    ProgLoadAttr, 144 {
        prog_type: u32,
        insn_cnt: u32,
        insns: u64,
        license: u64,
        log_level: u32,
        log_size: u32,
        log_buf: u64,
        kern_version: u32,
        prog_flags: u32,
        prog_name: [u8; 16],
        prog_ifindex: u32,
        expected_attach_type: u32,
        prog_btf_fd: u32,
        func_info_rec_size: u32,
        func_info: u64,
        func_info_cnt: u32,
        line_info_rec_size: u32,
        line_info: u64,
        line_info_cnt: u32,
        attach_btf_id: u32,
        attach_prog_fd: u32,
        core_relo_cnt: u32,
        fd_array: u64,
        core_relos: u64,
        core_relo_rec_size: u32,
        log_true_size: u32,
    }
);

attr!(
    /// `BPF_BTF_LOAD`.
    BtfLoadAttr, 32 {
        btf: u64,
        btf_log_buf: u64,
        btf_size: u32,
        btf_log_size: u32,
        btf_log_level: u32,
        btf_log_true_size: u32,
    }
);

attr!(
    /// `BPF_PROG_TEST_RUN`.
    TestRunAttr, 80 {
        prog_fd: u32,
        retval: u32,
        data_size_in: u32,
        data_size_out: u32,
        data_in: u64,
        data_out: u64,
        repeat: u32,
        duration: u32,
        ctx_size_in: u32,
        ctx_size_out: u32,
        ctx_in: u64,
        ctx_out: u64,
        flags: u32,
        cpu: u32,
        batch_size: u32,
        _pad: u32,
    }
);

attr!(
    /// `BPF_OBJ_PIN`, `BPF_OBJ_GET`.
    ObjAttr, 16 {
        pathname: u64,
        bpf_fd: u32,
        file_flags: u32,
    }
);

attr!(
    /// `BPF_*_GET_NEXT_ID`, `BPF_*_GET_FD_BY_ID`.
    IdAttr, 16 {
        id: u32,
        next_id: u32,
        open_flags: u32,
        _pad: u32,
    }
);

attr!(
    /// `BPF_OBJ_GET_INFO_BY_FD`.
    InfoAttr, 16 {
        bpf_fd: u32,
        info_len: u32,
        info: u64,
    }
);

attr!(
    /// `BPF_LINK_CREATE` with what `BPF_TRACE_UPROBE_MULTI` adds.
    LinkCreateAttr, 64 {
        prog_fd: u32,
        target: u32,
        attach_type: u32,
        flags: u32,
        path: u64,
        offsets: u64,
        ref_ctr_offsets: u64,
        cookies: u64,
        count: u32,
        uprobe_flags: u32,
        pid: u32,
        pad: u32,
    }
);

attr!(
    /// `BPF_LINK_UPDATE`, `BPF_LINK_DETACH`.
    LinkUpdateAttr, 16 {
        link_fd: u32,
        new_prog_fd: u32,
        flags: u32,
        old_prog_fd: u32,
    }
);

attr!(
    /// `struct bpf_link_info` as far as XDP and tracing links fill it.
    RawLinkInfo, 32 {
        link_type: u32,
        id: u32,
        prog_id: u32,
        _pad: u32,
        word0: u32,
        word1: u32,
        word2: u32,
        word3: u32,
    }
);

attr!(
    /// `struct bpf_map_info`.
    RawMapInfo, 88 {
        map_type: u32,
        id: u32,
        key_size: u32,
        value_size: u32,
        max_entries: u32,
        map_flags: u32,
        name: [u8; 16],
        ifindex: u32,
        btf_vmlinux_value_type_id: u32,
        netns_dev: u64,
        netns_ino: u64,
        btf_id: u32,
        btf_key_type_id: u32,
        btf_value_type_id: u32,
        _pad: u32,
        map_extra: u64,
    }
);

attr!(
    /// `struct bpf_btf_info`.
    RawBtfInfo, 32 {
        btf: u64,
        btf_size: u32,
        id: u32,
        name: u64,
        name_len: u32,
        kernel_btf: u32,
    }
);

attr!(
    /// `struct bpf_prog_info`.
    RawProgInfo, 232 {
        prog_type: u32,
        id: u32,
        tag: [u8; 8],
        jited_prog_len: u32,
        xlated_prog_len: u32,
        jited_prog_insns: u64,
        xlated_prog_insns: u64,
        load_time: u64,
        created_by_uid: u32,
        nr_map_ids: u32,
        map_ids: u64,
        name: [u8; 16],
        ifindex: u32,
        gpl_compatible: u32,
        netns_dev: u64,
        netns_ino: u64,
        nr_jited_ksyms: u32,
        nr_jited_func_lens: u32,
        jited_ksyms: u64,
        jited_func_lens: u64,
        btf_id: u32,
        func_info_rec_size: u32,
        func_info: u64,
        nr_func_info: u32,
        nr_line_info: u32,
        line_info: u64,
        jited_line_info: u64,
        nr_jited_line_info: u32,
        line_info_rec_size: u32,
        jited_line_info_rec_size: u32,
        nr_prog_tags: u32,
        prog_tags: u64,
        run_time_ns: u64,
        run_cnt: u64,
        recursion_misses: u64,
        verified_insns: u32,
        attach_btf_obj_id: u32,
        attach_btf_id: u32,
        _pad: u32,
    }
);
