use super::*;
use crate::key::tests::{Profile, ProfileKey};

const LIFE: Duration = Duration::from_mins(1);

pub(crate) fn profile(name: &str) -> Entry {
    let value = Profile { name: name.into() };
    Entry::of_fresh::<ProfileKey>(Fresh::new(7, (), value), Duration::from_millis(3), ProfileKey::LIFE).expect("JSON")
}

#[test]
fn an_entry_survives_encoding_and_decoding() {
    for entry in [profile("Ada\n"), profile(&"long ".repeat(1000)), Entry::nothing::<ProfileKey>(Duration::ZERO)] {
        let Decoded::Entry(back) = Entry::decode::<ProfileKey>(&entry.encode(1, LIFE)) else {
            panic!("does not read back")
        };
        assert_eq!((back.version, back.took, back.grace), (entry.version, entry.took, entry.grace));
        assert_eq!((&back.bodies, back.span), (&entry.bodies, entry.span));
        assert_eq!(back.is_nothing(), entry.is_nothing());
    }
}

#[test]
fn damaged_entries_are_unreadable() {
    let entry = profile("Ada").encode(1, LIFE);
    assert!(matches!(Entry::decode::<ProfileKey>(&entry), Decoded::Entry(_)));
    for at in 0..entry.len() {
        for bit in 0..8 {
            let mut bad = entry.to_vec();
            bad[at] ^= 1 << bit;
            // As if of another format, whose checksum this release does not know.
            let is_newer = at < 2 && release(&bad).is_some_and(|(format, _)| format > FORMAT);
            let decoded = Entry::decode::<ProfileKey>(&bad.into());
            assert_eq!(matches!(decoded, Decoded::Newer), is_newer, "bit {bit} flipped at {at}");
            assert!(!matches!(decoded, Decoded::Entry(_)), "bit {bit} flipped at {at}");
        }
        let cut = Entry::decode::<ProfileKey>(&entry.slice(..at));
        assert!(matches!(cut, Decoded::Unreadable), "cut at {at}");
    }
}

#[test]
fn only_newer_entries_are_left_alone() {
    let check = |bytes: &[u8], is_newer: bool| {
        let decoded = Entry::decode::<ProfileKey>(&Bytes::copy_from_slice(bytes));
        let name = String::from_utf8_lossy(&bytes[..bytes.len().min(20)]).into_owned();
        assert!(!matches!(decoded, Decoded::Entry(_)), "{name}");
        assert_eq!(matches!(decoded, Decoded::Newer), is_newer, "{name}");
        assert_eq!(is_outdated::<ProfileKey>(bytes), !is_newer, "{name}");
    };
    for newer in ["5 of the next release", "5\n", "4294967295 x", "5"] {
        check(newer.as_bytes(), true);
    }
    for other in ["", " ", "x", "3 1 0 7 3 0 0 2 0 00000000\n{}", "-4 1", "4294967296 1", "{\"id\":1}"] {
        check(other.as_bytes(), false);
    }
    check(&profile("Ada").encode(2, LIFE), true);
    check(&profile("Ada").encode(u32::MAX, LIFE), true);
    check(&profile("Ada").encode(0, LIFE), false);
}

fn cached(entry: Entry) -> Cached<ProfileKey> {
    Cached::of(entry.into(), "user:ada").expect("the same type").expect("something")
}

#[test]
fn only_long_bodies_are_compressed() {
    let long = cached(profile(&"long ".repeat(1000)));
    let mut plain = Vec::new();
    let gzip = long.compressed(Coding::Gzip).expect("compressed");
    std::io::copy(&mut flate2::read::GzDecoder::new(&gzip[..]), &mut plain).expect("gzip");
    assert_eq!(plain, long.body()[..]);
    let short = cached(profile("Ada"));
    assert_eq!(short.compressed(Coding::Gzip), None);
}
