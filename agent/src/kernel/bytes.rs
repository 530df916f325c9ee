//! Conversion between plain old data and bytes.

/// Views a value as bytes.
pub fn bytes_of<T: aya::Pod>(value: &T) -> &[u8] {
    // SAFETY: plain old data has no padding, so all of its bytes are written; they live as long as the value.
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(value).cast(), size_of::<T>()) }
}

/// The value at the start of `bytes`, and the rest. `None` when there are too few bytes.
pub fn split<T: aya::Pod>(bytes: &[u8]) -> Option<(T, &[u8])> {
    let (head, rest) = bytes.split_at_checked(size_of::<T>())?;
    // SAFETY: there are enough bytes, every bit pattern is a valid `T`, and the read does not require alignment.
    Some((unsafe { head.as_ptr().cast::<T>().read_unaligned() }, rest))
}
