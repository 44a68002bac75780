//! libbpf's side.

use std::ffi::{CStr, CString, c_char, c_int};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Mutex;

use libbpf_sys as sys;

use crate::record::{Program, Side};
use crate::watch;

/// What libbpf said since the last [`take_words`].
static WORDS: Mutex<String> = Mutex::new(String::new());

unsafe extern "C" {
    fn vsnprintf(
        to: *mut c_char,
        size: usize,
        format: *const c_char,
        arguments: *mut sys::__va_list_tag,
    ) -> c_int;
}

unsafe extern "C" fn print(
    level: sys::libbpf_print_level,
    format: *const c_char,
    arguments: *mut sys::__va_list_tag,
) -> c_int {
    if level != sys::LIBBPF_WARN {
        return 0;
    }
    let mut buf = vec![0u8; 1024];
    unsafe { vsnprintf(buf.as_mut_ptr().cast(), buf.len(), format, arguments) };
    let text = CStr::from_bytes_until_nul(&buf).unwrap_or_default().to_string_lossy();
    if let Ok(mut words) = WORDS.lock() {
        words.push_str(&text);
    }
    0
}

fn take_words() -> String {
    WORDS.lock().map(|mut words| std::mem::take(&mut *words)).unwrap_or_default()
}

struct Object(*mut sys::bpf_object);

impl Object {
    fn open(path: &CStr, pins: &CStr) -> Result<Self, String> {
        let mut options: sys::bpf_object_open_opts = unsafe { std::mem::zeroed() };
        options.sz = size_of::<sys::bpf_object_open_opts>() as _;
        options.pin_root_path = pins.as_ptr();
        let object = unsafe { sys::bpf_object__open_file(path.as_ptr(), &options) };
        match object.is_null() {
            true => Err(format!("{}: {}", std::io::Error::last_os_error(), take_words())),
            false => Ok(Self(object)),
        }
    }

    fn programs(&self) -> Vec<*mut sys::bpf_program> {
        let next = |at: Option<*mut sys::bpf_program>| {
            let at = at.unwrap_or(std::ptr::null_mut());
            let next = unsafe { sys::bpf_object__next_program(self.0, at) };
            (!next.is_null()).then_some(next)
        };
        std::iter::successors(next(None), |at| next(Some(*at))).collect()
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        unsafe { sys::bpf_object__close(self.0) };
    }
}

/// Name and fd of every map; those of data sections by their sections.
fn maps(object: *mut sys::bpf_object) -> Vec<(String, i32)> {
    let next = |at: *mut sys::bpf_map| {
        let next = unsafe { sys::bpf_object__next_map(object, at) };
        (!next.is_null()).then_some(next)
    };
    std::iter::successors(next(std::ptr::null_mut()), |at| next(*at))
        .map(|map| {
            let name = text(unsafe { sys::bpf_map__name(map) });
            let name = match name.find('.') {
                Some(at) => name[at..].to_owned(),
                None => name,
            };
            (name, unsafe { sys::bpf_map__fd(map) })
        })
        .collect()
}

fn text(at: *const c_char) -> String {
    match at.is_null() {
        true => String::new(),
        false => unsafe { CStr::from_ptr(at) }.to_string_lossy().into_owned(),
    }
}

/// Opens the object anew for each program and loads only that.
pub fn run(path: &Path, pins: &Path) -> Side {
    unsafe { sys::libbpf_set_print(Some(print)) };
    let path = CString::new(path.as_os_str().as_bytes()).unwrap_or_default();
    let pin_root = CString::new(pins.as_os_str().as_bytes()).unwrap_or_default();
    let first = match Object::open(&path, &pin_root) {
        Ok(object) => object,
        Err(e) => return Side { open_error: Some(e), ..Side::default() },
    };
    let programs = (0..first.programs().len()).map(|index| {
        let object = match Object::open(&path, &pin_root) {
            Ok(object) => object,
            Err(e) => return Program { error: Some(e), ..Program::default() },
        };
        let all = object.programs();
        let wanted = all[index];
        let mut program = unsafe {
            Program {
                name: text(sys::bpf_program__name(wanted)),
                section: text(sys::bpf_program__section_name(wanted)),
                prog_type: sys::bpf_program__type(wanted),
                attach_type: sys::bpf_program__expected_attach_type(wanted),
                autoload: sys::bpf_program__autoload(wanted),
                ..Program::default()
            }
        };
        for other in all {
            unsafe { sys::bpf_program__set_autoload(other, other == wanted) };
        }
        take_words();
        let at = object.0 as usize;
        watch::start(&program.name, Box::new(move || maps(at as *mut sys::bpf_object)));
        let result = unsafe { sys::bpf_object__load(object.0) };
        program.load = watch::stop();
        if result != 0 {
            let errno = std::io::Error::from_raw_os_error(-result);
            program.error = Some(format!("{errno}: {}", take_words()));
        }
        drop(object);
        let _ = watch::clear(pins);
        program
    });
    let programs = programs.collect();
    Side { programs, ..Side::default() }
}
