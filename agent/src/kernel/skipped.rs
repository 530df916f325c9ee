//! How often the kernel left out a run of a program. aya does not show this field of the program's description.

use aya_obj::generated::bpf_prog_info;
use std::{
    io,
    mem::{offset_of, zeroed},
    os::fd::{AsRawFd, BorrowedFd},
};

// include/uapi/linux/bpf.h
const BPF_OBJ_GET_INFO_BY_FD: libc::c_int = 15;

/// `union bpf_attr` as BPF_OBJ_GET_INFO_BY_FD reads it.
#[repr(C)]
struct Attributes {
    fd: u32,
    info_length: u32,
    info: u64,
}

/// `bpf_prog_info.recursion_misses` (Linux 5.12).
///
/// # Errors
/// What the kernel says.
pub fn recursion_misses(program: BorrowedFd<'_>) -> io::Result<u64> {
    // SAFETY: integers, for which zero is a value; no pointer in it asks the kernel for more.
    let mut info: bpf_prog_info = unsafe { zeroed() };
    let mut attributes = Attributes {
        fd: program.as_raw_fd().cast_unsigned(),
        info_length: size_of::<bpf_prog_info>() as u32,
        info: (&raw mut info).addr() as u64,
    };
    // SAFETY: bpf(2) reads the attributes and writes so many bytes of the description.
    let done = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_OBJ_GET_INFO_BY_FD,
            &raw mut attributes,
            size_of::<Attributes>(),
        )
    };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    if (attributes.info_length as usize) < offset_of!(bpf_prog_info, recursion_misses) + size_of::<u64>() {
        return Err(io::ErrorKind::Unsupported.into());
    }
    Ok(info.recursion_misses)
}
