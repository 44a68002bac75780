use super::*;

#[test]
fn names_fit_the_kernel() {
    assert_eq!(kernel_name("a_map.that-is longer", false), "a_map_that_is_l");
    assert_eq!(kernel_name(".rodata", true), ".rodata");
    assert_eq!(kernel_name("zähler", false), "z_hler");
    assert_eq!(data_name("dir/xdp_filter.bpf.o", ".rodata"), "xdp_filt.rodata");
    assert_eq!(data_name("a", ".bss"), "a.bss");
    assert_eq!(data_name("label", ".rodata.a_very_long_one"), ".rodata.a_very_");
}

#[test]
fn ring_sizes() {
    assert_eq!(ring_size(0, 4096), Some(4096));
    assert_eq!(ring_size(1, 4096), Some(4096));
    assert_eq!(ring_size(4097, 4096), Some(8192));
    assert_eq!(ring_size(1 << 20, 4096), Some(1 << 20));
    assert_eq!(ring_size(u32::MAX, 4096), None);
}
