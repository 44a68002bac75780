//! Kernel helpers: names by number, and which ones only GPL-compatible programs may call.
//!
//! The list of helpers is closed: since Linux 6.2 new functions for programs are kernel functions
//! (kfuncs), which BTF names.

/// Name of the kernel helper with this number ("bpf_map_lookup_elem"), from the list that the kernel
/// header `linux/bpf.h` gives in `___BPF_FUNC_MAPPER`. `None` for 0 and for numbers beyond the list.
pub fn helper_name(number: u32) -> Option<&'static str> {
    NAMES.get((number as usize).checked_sub(1)?).copied()
}

/// Number of the kernel helper with this name, the prefix `bpf_` included.
pub fn helper_number(name: &str) -> Option<u32> {
    let index = NAMES.iter().position(|&n| n == name)?;
    u32::try_from(index + 1).ok()
}

/// How many arguments a helper takes, in registers from r1 on: the parameters of its prototype in the comments of
/// `linux/bpf.h`, all five where it takes any number (`bpf_trace_printk`). `None` for numbers beyond the list.
pub fn helper_arguments(number: u32) -> Option<u8> {
    ARGUMENTS.get((number as usize).checked_sub(1)?).copied()
}

/// Does the kernel refuse this helper to a program whose licence is not GPL-compatible?
///
/// As Linux 6.18 answers (`gpl_only` in its `struct bpf_func_proto`), tried there for every helper and
/// program type it would load, and read in its sources for the rest. `bpf_get_stackid` is free to
/// perf_event programs and restricted for all others; this says restricted.
pub fn helper_gpl_only(number: u32) -> bool {
    GPL_ONLY.binary_search(&number).is_ok()
}

/// From number 1 on, ten in a row; behind each row the number of its first.
#[rustfmt::skip]
const ARGUMENTS: [u8; NAMES.len()] = [
    2, 4, 2, 3, 0, 5, 0, 0, 5, 5, // 1
    5, 3, 3, 0, 0, 2, 1, 3, 1, 4, // 11
    4, 2, 2, 1, 5, 4, 3, 5, 3, 3, // 21
    3, 2, 3, 1, 0, 3, 2, 3, 2, 2, // 31
    1, 0, 3, 2, 3, 1, 1, 2, 5, 4, // 41
    3, 4, 4, 2, 4, 3, 5, 2, 2, 4, // 51
    2, 2, 4, 3, 2, 5, 4, 5, 4, 4, // 61
    4, 4, 4, 4, 3, 4, 1, 4, 1, 0, // 71
    2, 4, 2, 5, 5, 1, 3, 2, 2, 4, // 81
    4, 3, 1, 1, 1, 1, 1, 1, 5, 5, // 91
    4, 3, 3, 3, 4, 4, 4, 2, 1, 5, // 101
    5, 3, 3, 3, 3, 2, 1, 0, 4, 4, // 111
    5, 1, 1, 3, 0, 5, 3, 1, 2, 4, // 121
    3, 2, 2, 2, 2, 1, 1, 1, 1, 1, // 131
    4, 4, 4, 3, 4, 2, 3, 3, 5, 4, // 141
    1, 4, 2, 1, 2, 4, 2, 0, 2, 0, // 151
    3, 1, 5, 4, 5, 3, 4, 1, 3, 2, // 161
    3, 1, 1, 1, 1, 3, 4, 1, 4, 5, // 171
    4, 3, 3, 2, 1, 0, 1, 1, 4, 4, // 181
    5, 3, 3, 2, 3, 1, 4, 4, 2, 2, // 191
    5, 5, 3, 3, 3, 2, 2, 0, 4, 4, // 201
    2, // 211
];

/// By rising number.
const GPL_ONLY: [u32; 44] = [
    4,   // probe_read
    6,   // trace_printk
    22,  // perf_event_read
    25,  // perf_event_output
    27,  // get_stackid
    35,  // get_current_task
    36,  // probe_write_user
    45,  // probe_read_str
    55,  // perf_event_read_value
    56,  // perf_prog_read_value
    58,  // override_return
    67,  // get_stack
    69,  // fib_lookup
    77,  // rc_repeat
    78,  // rc_keydown
    92,  // rc_pointer_rel
    100, // tcp_check_syncookie
    110, // tcp_gen_syncookie
    111, // skb_output
    112, // probe_read_user
    113, // probe_read_kernel
    114, // probe_read_user_str
    115, // probe_read_kernel_str
    119, // read_branch_records
    121, // xdp_output
    126, // seq_printf
    127, // seq_write
    150, // seq_printf_btf
    158, // get_current_task_btf
    163, // check_mtu
    165, // snprintf
    169, // timer_init
    170, // timer_set_callback
    171, // timer_start
    172, // timer_cancel
    173, // get_func_ip
    175, // task_pt_regs
    176, // get_branch_snapshot
    177, // trace_vprintk
    191, // copy_from_user_task
    204, // tcp_raw_gen_syncookie_ipv4
    205, // tcp_raw_gen_syncookie_ipv6
    206, // tcp_raw_check_syncookie_ipv4
    207, // tcp_raw_check_syncookie_ipv6
];

/// Helper 1 comes first.
const NAMES: [&str; 211] = [
    "bpf_map_lookup_elem",
    "bpf_map_update_elem",
    "bpf_map_delete_elem",
    "bpf_probe_read",
    "bpf_ktime_get_ns",
    "bpf_trace_printk",
    "bpf_get_prandom_u32",
    "bpf_get_smp_processor_id",
    "bpf_skb_store_bytes",
    "bpf_l3_csum_replace",
    "bpf_l4_csum_replace",
    "bpf_tail_call",
    "bpf_clone_redirect",
    "bpf_get_current_pid_tgid",
    "bpf_get_current_uid_gid",
    "bpf_get_current_comm",
    "bpf_get_cgroup_classid",
    "bpf_skb_vlan_push",
    "bpf_skb_vlan_pop",
    "bpf_skb_get_tunnel_key",
    "bpf_skb_set_tunnel_key",
    "bpf_perf_event_read",
    "bpf_redirect",
    "bpf_get_route_realm",
    "bpf_perf_event_output",
    "bpf_skb_load_bytes",
    "bpf_get_stackid",
    "bpf_csum_diff",
    "bpf_skb_get_tunnel_opt",
    "bpf_skb_set_tunnel_opt",
    "bpf_skb_change_proto",
    "bpf_skb_change_type",
    "bpf_skb_under_cgroup",
    "bpf_get_hash_recalc",
    "bpf_get_current_task",
    "bpf_probe_write_user",
    "bpf_current_task_under_cgroup",
    "bpf_skb_change_tail",
    "bpf_skb_pull_data",
    "bpf_csum_update",
    "bpf_set_hash_invalid",
    "bpf_get_numa_node_id",
    "bpf_skb_change_head",
    "bpf_xdp_adjust_head",
    "bpf_probe_read_str",
    "bpf_get_socket_cookie",
    "bpf_get_socket_uid",
    "bpf_set_hash",
    "bpf_setsockopt",
    "bpf_skb_adjust_room",
    "bpf_redirect_map",
    "bpf_sk_redirect_map",
    "bpf_sock_map_update",
    "bpf_xdp_adjust_meta",
    "bpf_perf_event_read_value",
    "bpf_perf_prog_read_value",
    "bpf_getsockopt",
    "bpf_override_return",
    "bpf_sock_ops_cb_flags_set",
    "bpf_msg_redirect_map",
    "bpf_msg_apply_bytes",
    "bpf_msg_cork_bytes",
    "bpf_msg_pull_data",
    "bpf_bind",
    "bpf_xdp_adjust_tail",
    "bpf_skb_get_xfrm_state",
    "bpf_get_stack",
    "bpf_skb_load_bytes_relative",
    "bpf_fib_lookup",
    "bpf_sock_hash_update",
    "bpf_msg_redirect_hash",
    "bpf_sk_redirect_hash",
    "bpf_lwt_push_encap",
    "bpf_lwt_seg6_store_bytes",
    "bpf_lwt_seg6_adjust_srh",
    "bpf_lwt_seg6_action",
    "bpf_rc_repeat",
    "bpf_rc_keydown",
    "bpf_skb_cgroup_id",
    "bpf_get_current_cgroup_id",
    "bpf_get_local_storage",
    "bpf_sk_select_reuseport",
    "bpf_skb_ancestor_cgroup_id",
    "bpf_sk_lookup_tcp",
    "bpf_sk_lookup_udp",
    "bpf_sk_release",
    "bpf_map_push_elem",
    "bpf_map_pop_elem",
    "bpf_map_peek_elem",
    "bpf_msg_push_data",
    "bpf_msg_pop_data",
    "bpf_rc_pointer_rel",
    "bpf_spin_lock",
    "bpf_spin_unlock",
    "bpf_sk_fullsock",
    "bpf_tcp_sock",
    "bpf_skb_ecn_set_ce",
    "bpf_get_listener_sock",
    "bpf_skc_lookup_tcp",
    "bpf_tcp_check_syncookie",
    "bpf_sysctl_get_name",
    "bpf_sysctl_get_current_value",
    "bpf_sysctl_get_new_value",
    "bpf_sysctl_set_new_value",
    "bpf_strtol",
    "bpf_strtoul",
    "bpf_sk_storage_get",
    "bpf_sk_storage_delete",
    "bpf_send_signal",
    "bpf_tcp_gen_syncookie",
    "bpf_skb_output",
    "bpf_probe_read_user",
    "bpf_probe_read_kernel",
    "bpf_probe_read_user_str",
    "bpf_probe_read_kernel_str",
    "bpf_tcp_send_ack",
    "bpf_send_signal_thread",
    "bpf_jiffies64",
    "bpf_read_branch_records",
    "bpf_get_ns_current_pid_tgid",
    "bpf_xdp_output",
    "bpf_get_netns_cookie",
    "bpf_get_current_ancestor_cgroup_id",
    "bpf_sk_assign",
    "bpf_ktime_get_boot_ns",
    "bpf_seq_printf",
    "bpf_seq_write",
    "bpf_sk_cgroup_id",
    "bpf_sk_ancestor_cgroup_id",
    "bpf_ringbuf_output",
    "bpf_ringbuf_reserve",
    "bpf_ringbuf_submit",
    "bpf_ringbuf_discard",
    "bpf_ringbuf_query",
    "bpf_csum_level",
    "bpf_skc_to_tcp6_sock",
    "bpf_skc_to_tcp_sock",
    "bpf_skc_to_tcp_timewait_sock",
    "bpf_skc_to_tcp_request_sock",
    "bpf_skc_to_udp6_sock",
    "bpf_get_task_stack",
    "bpf_load_hdr_opt",
    "bpf_store_hdr_opt",
    "bpf_reserve_hdr_opt",
    "bpf_inode_storage_get",
    "bpf_inode_storage_delete",
    "bpf_d_path",
    "bpf_copy_from_user",
    "bpf_snprintf_btf",
    "bpf_seq_printf_btf",
    "bpf_skb_cgroup_classid",
    "bpf_redirect_neigh",
    "bpf_per_cpu_ptr",
    "bpf_this_cpu_ptr",
    "bpf_redirect_peer",
    "bpf_task_storage_get",
    "bpf_task_storage_delete",
    "bpf_get_current_task_btf",
    "bpf_bprm_opts_set",
    "bpf_ktime_get_coarse_ns",
    "bpf_ima_inode_hash",
    "bpf_sock_from_file",
    "bpf_check_mtu",
    "bpf_for_each_map_elem",
    "bpf_snprintf",
    "bpf_sys_bpf",
    "bpf_btf_find_by_name_kind",
    "bpf_sys_close",
    "bpf_timer_init",
    "bpf_timer_set_callback",
    "bpf_timer_start",
    "bpf_timer_cancel",
    "bpf_get_func_ip",
    "bpf_get_attach_cookie",
    "bpf_task_pt_regs",
    "bpf_get_branch_snapshot",
    "bpf_trace_vprintk",
    "bpf_skc_to_unix_sock",
    "bpf_kallsyms_lookup_name",
    "bpf_find_vma",
    "bpf_loop",
    "bpf_strncmp",
    "bpf_get_func_arg",
    "bpf_get_func_ret",
    "bpf_get_func_arg_cnt",
    "bpf_get_retval",
    "bpf_set_retval",
    "bpf_xdp_get_buff_len",
    "bpf_xdp_load_bytes",
    "bpf_xdp_store_bytes",
    "bpf_copy_from_user_task",
    "bpf_skb_set_tstamp",
    "bpf_ima_file_hash",
    "bpf_kptr_xchg",
    "bpf_map_lookup_percpu_elem",
    "bpf_skc_to_mptcp_sock",
    "bpf_dynptr_from_mem",
    "bpf_ringbuf_reserve_dynptr",
    "bpf_ringbuf_submit_dynptr",
    "bpf_ringbuf_discard_dynptr",
    "bpf_dynptr_read",
    "bpf_dynptr_write",
    "bpf_dynptr_data",
    "bpf_tcp_raw_gen_syncookie_ipv4",
    "bpf_tcp_raw_gen_syncookie_ipv6",
    "bpf_tcp_raw_check_syncookie_ipv4",
    "bpf_tcp_raw_check_syncookie_ipv6",
    "bpf_ktime_get_tai_ns",
    "bpf_user_ringbuf_drain",
    "bpf_cgrp_storage_get",
    "bpf_cgrp_storage_delete",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_the_kernel_header() {
        // Spot checks against `linux/bpf.h`, spread over the whole list.
        for (number, name) in [
            (1, "bpf_map_lookup_elem"),
            (6, "bpf_trace_printk"),
            (12, "bpf_tail_call"),
            (44, "bpf_xdp_adjust_head"),
            (51, "bpf_redirect_map"),
            (130, "bpf_ringbuf_output"),
            (181, "bpf_loop"),
            (211, "bpf_cgrp_storage_delete"),
        ] {
            assert_eq!(helper_name(number), Some(name));
            assert_eq!(helper_number(name), Some(number));
        }
        assert_eq!(helper_name(0), None);
        assert_eq!(helper_name(212), None);
        assert_eq!(helper_name(u32::MAX), None);
        assert_eq!(helper_number("bpf_nothing"), None);
    }

    #[test]
    fn arguments_by_prototype() {
        // One of each row, against the prototypes in `linux/bpf.h`.
        for (name, count) in [
            ("bpf_map_lookup_elem", 2),
            ("bpf_map_update_elem", 4),
            ("bpf_trace_printk", 5),
            ("bpf_tail_call", 3),
            ("bpf_perf_event_output", 5),
            ("bpf_get_current_task", 0),
            ("bpf_redirect_map", 3),
            ("bpf_get_stack", 4),
            ("bpf_jiffies64", 0),
            ("bpf_sk_lookup_udp", 5),
            ("bpf_spin_lock", 1),
            ("bpf_sk_storage_get", 4),
            ("bpf_skb_output", 5),
            ("bpf_ktime_get_boot_ns", 0),
            ("bpf_ringbuf_reserve", 3),
            ("bpf_get_task_stack", 4),
            ("bpf_redirect_peer", 2),
            ("bpf_for_each_map_elem", 4),
            ("bpf_timer_cancel", 1),
            ("bpf_loop", 4),
            ("bpf_xdp_store_bytes", 4),
            ("bpf_dynptr_read", 5),
            ("bpf_cgrp_storage_delete", 2),
        ] {
            assert_eq!(helper_arguments(helper_number(name).unwrap()), Some(count), "{name}");
        }
        assert_eq!((helper_arguments(0), helper_arguments(212)), (None, None));
        assert!(ARGUMENTS.iter().all(|&count| count <= 5));
    }

    #[test]
    fn names_are_unique() {
        let mut names = NAMES.to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), NAMES.len());
    }

    #[test]
    fn gpl_only_helpers() {
        assert!(GPL_ONLY.is_sorted_by(|a, b| a < b));
        assert!(helper_gpl_only(6) && helper_gpl_only(4) && helper_gpl_only(25));
        assert!(!helper_gpl_only(1) && !helper_gpl_only(12) && !helper_gpl_only(0));
    }
}
