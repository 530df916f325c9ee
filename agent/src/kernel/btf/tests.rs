use super::*;

const KIND_FLAG: u32 = 1 << 31;

/// BTF that a test assembles: types and their names, numbered from 1.
#[derive(Default)]
struct Synthetic {
    types: Vec<u8>,
    strings: Vec<u8>,
    number: u32,
}

impl Synthetic {
    /// Starts with an `int` of 4 bytes as type 1, and a `long` of 8 as type 2.
    fn new() -> Self {
        let mut new = Self {
            strings: vec![0],
            ..Self::default()
        };
        for (name, size) in [("int", 4), ("long", 8)] {
            let name = new.name(name);
            new.add(&[name, INT << 24, size, size * 8]);
        }
        new
    }

    fn name(&mut self, name: &str) -> u32 {
        if name.is_empty() {
            return 0;
        }
        let at = self.strings.len() as u32;
        self.strings.extend(name.bytes().chain([0]));
        at
    }

    fn add(&mut self, words: &[u32]) -> u32 {
        self.types.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        self.number += 1;
        self.number
    }

    /// Adds a structure: name, size, and its fields as name, type and offset in bytes.
    fn structure(&mut self, name: &str, size: u32, fields: &[(&str, u32, u32)]) -> u32 {
        let mut words = vec![self.name(name), STRUCT << 24 | fields.len() as u32, size];
        for (name, kind, offset) in fields {
            words.extend([self.name(name), *kind, offset * 8]);
        }
        self.add(&words)
    }

    fn parse(&self) -> Btf {
        let header = [
            0xeb9f | 1 << 16,
            24,
            0,
            self.types.len() as u32,
            self.types.len() as u32,
            self.strings.len() as u32,
        ];
        let header = header.into_iter().flat_map(u32::to_le_bytes);
        let data = header.chain(self.types.iter().copied());
        Btf::parse(data.chain(self.strings.iter().copied()).collect()).expect("it is BTF")
    }
}

const INT_TYPE: u32 = 1;
const LONG_TYPE: u32 = 2;

#[test]
fn finds_fields_of_the_running_kernel() {
    let btf = Btf::read(Path::new(VMLINUX)).expect("this kernel has BTF");
    assert_eq!(btf.offset("request_sock", "__req_common"), Ok(0));
    assert_eq!(btf.offset("sock", "__sk_common"), Ok(0));
    // Within an anonymous union of an anonymous structure.
    assert_eq!(btf.offset("sock_common", "skc_daddr"), Ok(0));
    assert_eq!(btf.offset("sock", "__sk_common.skc_daddr"), Ok(0));
    assert!(
        btf.offset("sock", "sk_cgrp_data.cgroup")
            .is_ok_and(|offset| offset > 100)
    );
    assert_eq!(btf.offset("sock", "no_such_field"), Err(NoPlace::Absent));
    assert_eq!(btf.offset("no_such_structure", "x"), Err(NoPlace::Absent));
}

#[test]
fn structures_of_one_name_may_differ_in_what_is_not_asked_for() {
    let mut types = Synthetic::new();
    let inner = types.structure("", 8, &[("deep", LONG_TYPE, 0)]);
    let pointer = types.add(&[0, PTR << 24, inner]);
    for last in ["one", "other"] {
        let array = types.add(&[0, ARRAY << 24, 0, INT_TYPE, INT_TYPE, 3]);
        let copy = types.structure("", 8, &[("deep", LONG_TYPE, 0)]);
        let fields = [
            ("id", INT_TYPE, 0),
            ("", copy, 8),
            ("list", array, 16),
            ("next", pointer, 32),
            (last, LONG_TYPE, 40),
        ];
        types.structure("sock", 48, &fields);
    }
    let btf = types.parse();
    let found = ["id", "deep", "list", "next"].map(|path| btf.offset("sock", path));
    assert_eq!(found, [Ok(0), Ok(8), Ok(16), Ok(32)]);
    assert_eq!(btf.offset("sock", "none"), Err(NoPlace::Absent));
    // Only one of them has the field.
    let error = btf.offset("sock", "other").expect_err("it is not known in which");
    assert_eq!(
        error.to_string(),
        "this kernel has 2 structures called sock, which do not agree on other"
    );
}

#[test]
fn structures_of_one_name_that_do_not_agree_on_a_field_are_refused() {
    for (offset, kind) in [(12, INT_TYPE), (8, LONG_TYPE)] {
        let mut types = Synthetic::new();
        types.structure("sock", 16, &[("sk_err", INT_TYPE, 8)]);
        types.structure("sock", 16, &[("sk_err", INT_TYPE, 8)]);
        types.structure("sock", 16, &[("sk_err", kind, offset)]);
        types.structure("socket", 16, &[("sk", LONG_TYPE, 8)]);
        let btf = types.parse();
        assert_eq!(
            btf.offset("sock", "sk_err"),
            Err(NoPlace::Ambiguous {
                structure: "sock".to_owned(),
                path: "sk_err".to_owned(),
                number: 3,
            })
        );
        assert_eq!(btf.offset("socket", "sk"), Ok(8));
    }
}

#[test]
fn a_field_of_bits_is_found_where_it_begins_a_byte() {
    let mut types = Synthetic::new();
    let (name, bits) = (types.name("flags"), types.name("bits"));
    let (first, second) = (types.name("first"), types.name("second"));
    // The width of a field is in the bits above its offset.
    let fields = [first, INT_TYPE, 2 << 24 | 8, second, INT_TYPE, 3 << 24 | 10];
    let mut words = vec![name, STRUCT << 24 | KIND_FLAG | 3, 8];
    words.extend(fields.into_iter().chain([bits, INT_TYPE, 32]));
    types.add(&words);
    let btf = types.parse();
    let found = ["first", "second", "bits"].map(|path| btf.offset("flags", path));
    assert_eq!(found, [Ok(1), Err(NoPlace::Absent), Ok(4)]);
}

#[test]
fn refuses_what_is_no_btf() {
    assert!(Btf::parse(vec![]).is_err());
    assert!(Btf::parse(vec![0; 100]).is_err());
    let mut cut = 0xeb9f_u32.to_le_bytes().to_vec();
    cut.extend([24, 0, 0, 0, 0, 0, 0, 0, 99, 0, 0, 0, 0, 0, 0, 0]);
    assert!(Btf::parse(cut).is_err());
}
