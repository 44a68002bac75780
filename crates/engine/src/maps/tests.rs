//! Map types: semantics and error codes, as the kernel's sources and manual have them.

use super::*;

fn map(map_type: u32, key_size: u32, value_size: u32, max_entries: u32) -> (Map, Memory) {
    let mut memory = Memory::new();
    let flags = if map_type == map_type::LPM_TRIE { NO_PREALLOC } else { 0 };
    let shape = Shape { map_type, key_size, value_size, max_entries, flags, extra: 0 };
    (Map::new(shape, 2, 7, &mut memory).unwrap().unwrap(), memory)
}

const ME: Who = Who::Program(1);

fn put(map: &mut Map, memory: &mut Memory, key: u32, value: u64, flags: u64) -> Result<()> {
    map.update(memory, &key.to_ne_bytes(), &value.to_ne_bytes(), flags, ME)
}

fn get(map: &mut Map, memory: &Memory, key: u32) -> Option<u64> {
    let at = map.lookup(memory, &key.to_ne_bytes(), 1)?;
    memory.load::<8>(at)
}

#[test]
fn arrays() {
    let (mut map, mut memory) = map(map_type::ARRAY, 4, 8, 2);
    assert_eq!(get(&mut map, &memory, 1), Some(0));
    assert_eq!(get(&mut map, &memory, 2), None);
    assert_eq!(put(&mut map, &mut memory, 1, 7, 0), Ok(()));
    assert_eq!(put(&mut map, &mut memory, 2, 7, 0), Err(errno::E2BIG));
    assert_eq!(put(&mut map, &mut memory, 1, 7, NOEXIST), Err(errno::EEXIST));
    assert_eq!(put(&mut map, &mut memory, 1, 8, EXIST), Ok(()));
    assert_eq!(put(&mut map, &mut memory, 1, 7, 3), Err(errno::EINVAL));
    assert_eq!(map.delete(&1u32.to_ne_bytes()), Err(errno::EINVAL));
    assert_eq!(get(&mut map, &memory, 1), Some(8));
}

#[test]
fn hashes() {
    let (mut map, mut memory) = map(map_type::HASH, 4, 8, 2);
    assert_eq!(put(&mut map, &mut memory, 5, 1, EXIST), Err(errno::ENOENT));
    assert_eq!(put(&mut map, &mut memory, 5, 1, NOEXIST), Ok(()));
    assert_eq!(put(&mut map, &mut memory, 5, 1, NOEXIST), Err(errno::EEXIST));
    assert_eq!(put(&mut map, &mut memory, 6, 2, 0), Ok(()));
    assert_eq!(put(&mut map, &mut memory, 7, 3, 0), Err(errno::E2BIG));
    assert_eq!(put(&mut map, &mut memory, 6, 4, 0), Ok(()));
    assert_eq!(map.delete(&5u32.to_ne_bytes()), Ok(()));
    assert_eq!(map.delete(&5u32.to_ne_bytes()), Err(errno::ENOENT));
    assert_eq!(put(&mut map, &mut memory, 7, 3, 0), Ok(()));
    assert_eq!((get(&mut map, &memory, 6), get(&mut map, &memory, 7)), (Some(4), Some(3)));
}

#[test]
fn a_full_lru_map_takes_more() {
    let (mut map, mut memory) = map(map_type::LRU_HASH, 4, 8, 2);
    for key in 0..10 {
        assert_eq!(put(&mut map, &mut memory, key, u64::from(key), 0), Ok(()));
    }
    assert_eq!(get(&mut map, &memory, 8), Some(8));
    assert_eq!(put(&mut map, &mut memory, 10, 10, 0), Ok(()));
    assert_eq!(get(&mut map, &memory, 9), None);
    assert_eq!((get(&mut map, &memory, 8), get(&mut map, &memory, 10)), (Some(8), Some(10)));
}

#[test]
fn each_cpu_has_its_value() {
    for kind in [map_type::PERCPU_ARRAY, map_type::PERCPU_HASH, map_type::LRU_PERCPU_HASH] {
        let (mut map, mut memory) = map(kind, 4, 4, 4);
        let key = 1u32.to_ne_bytes();
        assert_eq!(map.value_len(), 16);
        assert_eq!(map.update(&mut memory, &key, &9u32.to_ne_bytes(), 0, ME), Ok(()));
        let value = map.value(&memory, &key).unwrap();
        assert_eq!(value, [0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0]);
        let all: Vec<u8> = (0..16).collect();
        assert_eq!(map.update(&mut memory, &key, &all, 0, Who::User), Ok(()));
        let at = map.lookup(&memory, &key, 0).unwrap();
        assert_eq!(memory.load::<4>(at), Some(0x0302_0100));
        assert_eq!(memory.load::<8>(at), None, "a value has 4 bytes");
    }
}

#[test]
fn the_longest_prefix_wins() {
    let (mut map, mut memory) = map(map_type::LPM_TRIE, 8, 8, 3);
    let key = |len: u32, address: [u8; 4]| [len.to_ne_bytes(), address].concat();
    let mut put = |map: &mut Map, len, address, value: u64, flags| {
        map.update(&mut memory, &key(len, address), &value.to_ne_bytes(), flags, ME)
    };
    assert_eq!(put(&mut map, 8, [10, 9, 9, 9], 8, 0), Ok(()));
    assert_eq!(put(&mut map, 8, [10, 1, 1, 1], 8, NOEXIST), Err(errno::EEXIST));
    assert_eq!(put(&mut map, 20, [10, 1, 0xff, 0], 20, 0), Ok(()));
    assert_eq!(put(&mut map, 33, [0; 4], 0, 0), Err(errno::EINVAL));
    assert_eq!(put(&mut map, 9, [10, 0, 0, 0], 0, EXIST), Err(errno::ENOENT));
    assert_eq!(put(&mut map, 0, [0; 4], 1, 0), Ok(()));
    assert_eq!(put(&mut map, 32, [1; 4], 1, 0), Err(errno::ENOSPC));
    let mut find = |len, address| {
        let at = map.lookup(&memory, &key(len, address), 0)?;
        memory.load::<8>(at)
    };
    assert_eq!(find(32, [10, 1, 0xf0, 1]), Some(20));
    assert_eq!(find(32, [10, 1, 0xe0, 1]), Some(8));
    assert_eq!(find(16, [10, 1, 0xf0, 1]), Some(8));
    assert_eq!(find(32, [11, 1, 1, 1]), Some(1));
    assert_eq!(find(33, [11, 1, 1, 1]), None);
    assert_eq!(map.delete(&key(20, [10, 1, 0xf7, 3])), Ok(()));
    assert_eq!(map.delete(&key(20, [10, 1, 0xf7, 3])), Err(errno::ENOENT));
}

#[test]
fn queues_and_stacks() {
    for (kind, order) in [(map_type::QUEUE, [2, 3]), (map_type::STACK, [3, 2])] {
        let (mut map, mut memory) = map(kind, 0, 8, 2);
        let mut value = [1; 8];
        assert_eq!(map.take(&memory, &mut value, false), Err(errno::ENOENT));
        assert_eq!(value, [0; 8]);
        for n in [1u64, 2] {
            assert_eq!(map.push(&mut memory, &n.to_ne_bytes(), 0), Ok(()));
        }
        assert_eq!(map.push(&mut memory, &3u64.to_ne_bytes(), 0), Err(errno::E2BIG));
        assert_eq!(map.push(&mut memory, &3u64.to_ne_bytes(), NOEXIST), Err(errno::EINVAL));
        assert_eq!(map.push(&mut memory, &3u64.to_ne_bytes(), EXIST), Ok(()));
        for wanted in order {
            assert_eq!(map.take(&memory, &mut value, true), Ok(()));
            assert_eq!(u64::from_ne_bytes(value), wanted);
            assert_eq!(map.take(&memory, &mut value, false), Ok(()));
            assert_eq!(u64::from_ne_bytes(value), wanted);
        }
        assert_eq!(map.take(&memory, &mut value, true), Err(errno::ENOENT));
    }
}

#[test]
fn bloom_filters_know_what_is_in_them() {
    let (mut map, mut memory) = map(map_type::BLOOM_FILTER, 0, 8, 64);
    for n in 0..64u64 {
        assert_eq!(map.push(&mut memory, &n.to_ne_bytes(), 0), Ok(()));
    }
    assert_eq!(map.push(&mut memory, &[0; 8], EXIST), Err(errno::EINVAL));
    let mut is_in = |n: u64| map.take(&memory, &mut n.to_ne_bytes(), true).is_ok();
    assert!((0..64).all(&mut is_in));
    let wrong = (1000..2000).filter(|&n| is_in(n)).count();
    assert!(wrong < 300, "{wrong} of 1000");
}

#[test]
fn definitions_that_the_kernel_refuses() {
    let refused = |map_type, key_size, value_size, max_entries, flags| {
        let shape = Shape { map_type, key_size, value_size, max_entries, flags, extra: 0 };
        Map::new(shape, 1, 0, &mut Memory::new()).is_err()
    };
    assert!(refused(map_type::ARRAY, 8, 8, 1, 0));
    assert!(refused(map_type::ARRAY, 4, 0, 1, 0));
    assert!(refused(map_type::HASH, 4, 4, 0, 0));
    assert!(refused(map_type::HASH, 0, 4, 1, 0));
    assert!(refused(map_type::LPM_TRIE, 8, 4, 1, 0));
    assert!(refused(map_type::LPM_TRIE, 4, 4, 1, NO_PREALLOC));
    assert!(refused(map_type::RINGBUF, 0, 0, 5000, 0));
    assert!(refused(map_type::QUEUE, 4, 4, 1, 0));
    assert!(!refused(map_type::RINGBUF, 0, 0, 4096, 0));
}
