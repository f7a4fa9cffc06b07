//! Seeded mutation of what a domain really holds: no input makes a reader panic, take long or say
//! something else about what it wrote itself.

use std::time::{Duration, Instant};

use policy::gpo::{descriptor, gplink, gpt_ini, registry_pol};

use crate::{
    descriptors,
    fixtures::{files, text},
};

/// Everything that must hold for any Registry.pol.
fn pol(data: &[u8]) {
    let Ok(entries) = registry_pol::parse(data) else {
        return;
    };
    assert_eq!(registry_pol::write(&entries).as_deref(), Ok(data));
    for entry in entries {
        if let Ok(typed) = entry.data() {
            let again = registry_pol::Entry::new(&entry.key, &entry.value, &typed);
            assert_eq!(again.data(), Ok(typed));
        }
    }
}

/// Everything that must hold for any gPLink.
fn links(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(links) = gplink::parse(&text) {
        assert_eq!(gplink::parse(&gplink::write(&links)), Ok(links));
    }
}

/// Everything that must hold for any security descriptor.
fn descriptor(data: &[u8]) {
    let Ok(parsed) = descriptor::parse(data) else {
        return;
    };
    let bytes = parsed.to_bytes();
    let again = descriptor::parse(&bytes).unwrap();
    assert_eq!(again.dacl, parsed.dacl);
    assert_eq!(again.owner, parsed.owner);
    assert_eq!(again.to_bytes(), bytes);
    assert!(parsed.to_sddl(None).len() <= 64 + 80 * data.len());
    // Nobody has no rights, unless everybody has all.
    let nobody = descriptor::allows(&parsed, &[], descriptor::CONTROL_ACCESS, None);
    assert_eq!(nobody.is_ok(), parsed.dacl.is_none());
    drop(descriptor::parse(&parsed.for_sysvol().to_bytes()).unwrap());
}

/// Everything that must hold for any GPT.INI.
fn ini(data: &[u8]) {
    let Ok(parsed) = gpt_ini::parse(data) else {
        return;
    };
    let other = gpt_ini::with_version(data, 7).unwrap();
    let again = gpt_ini::parse(&other).unwrap();
    assert_eq!(again.version, Some(7));
    assert_eq!(again.display_name, parsed.display_name);
}

/// A xorshift generator: the same seed makes the same run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound.max(1) as u64) as usize
    }
}

fn mutate(random: &mut Random, data: &mut Vec<u8>, other: &[u8]) {
    let at = random.below(data.len());
    match random.below(8) {
        0 => data.truncate(at),
        1 => data.insert(at, random.below(256) as u8),
        2 => drop(data.splice(at..at, [0xff; 4])),
        3 if data.len() < 4096 => data.extend_from_within(at..),
        4 => {
            let end = (at + random.below(40)).min(data.len());
            drop(data.drain(at..end));
        }
        5 => {
            let from = random.below(other.len());
            let to = (from + random.below(60)).min(other.len());
            drop(data.splice(at..at, other[from..to].iter().copied()));
        }
        _ if data.is_empty() => data.push(0),
        6 => data[at] ^= 1 << random.below(8),
        // Bytes that structure is made of.
        _ => {
            data[at] = *b"\0\x01\x02\x7f\x80\xff[];=:\r\n*"
                .get(random.below(14))
                .unwrap_or(&0)
        }
    }
}

/// Mutates `seeds` for a bounded number of rounds, or for a minute where tests may be long.
fn run(seeds: &[Vec<u8>], target: fn(&[u8])) {
    assert!(seeds.len() > 4);
    for seed in seeds {
        target(seed);
    }
    let is_long = std::env::var_os("LATCHKEY_LONG_TESTS").is_some();
    let mut random = Random(0x5eed_901c_cafe_f00d);
    let start = Instant::now();
    let mut round = 0;
    while round < 20_000 || is_long && start.elapsed() < Duration::from_secs(60) {
        let mut data = seeds[random.below(seeds.len())].clone();
        let other = &seeds[random.below(seeds.len())];
        for _ in 0..=random.below(6) {
            mutate(&mut random, &mut data, other);
        }
        let before = Instant::now();
        target(&data);
        assert!(before.elapsed() < Duration::from_secs(5), "{data:?}");
        round += 1;
    }
}

fn read(under: &str, ending: &str) -> Vec<Vec<u8>> {
    let paths = files(under, ending);
    paths
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect()
}

#[test]
fn no_mutation_of_a_registry_pol_breaks_its_reader() {
    run(&read("", ".pol"), pol);
}

#[test]
fn no_mutation_of_a_gplink_breaks_its_reader() {
    let som = text("ldif/som.ldif");
    let values = som.lines().filter_map(|line| line.strip_prefix("gPLink: "));
    run(
        &values.map(|v| v.as_bytes().to_vec()).collect::<Vec<_>>(),
        links,
    );
}

#[test]
fn no_mutation_of_a_security_descriptor_breaks_its_reader() {
    let all = descriptors::all().into_iter();
    run(&all.map(|(_, bytes)| bytes).collect::<Vec<_>>(), descriptor);
}

#[test]
fn no_mutation_of_a_gpt_ini_breaks_its_reader() {
    run(&read("sysvol", "GPT.INI"), ini);
}
