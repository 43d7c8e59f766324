//! What may happen to the bytes of a file.

use proptest::prelude::*;

/// What happens to a valid file.
#[derive(Clone, Debug)]
pub enum Damage {
    /// It holds these bytes instead.
    Other(Vec<u8>),
    /// This bit, of all, is turned.
    Bit(usize),
    /// It ends here.
    Cut(usize),
    /// These bytes stand here instead of what did.
    Over(usize, Vec<u8>),
    /// These bytes are put in here.
    In(usize, Vec<u8>),
    /// A part is left out.
    Out(usize, usize),
    /// The number in decimal digits that follows here is another.
    Count(usize, u64),
}

/// One to three things that happen to a file.
pub fn damages() -> BoxedStrategy<Vec<Damage>> {
    let place = 0..1usize << 20;
    let bytes = || proptest::collection::vec(any::<u8>(), 1..20);
    let count = prop_oneof![Just(0u64), Just(u64::MAX), Just(1 << 32), Just(1 << 63), Just(4), any::<u64>()];
    let one = prop_oneof![
        1 => proptest::collection::vec(any::<u8>(), 0..200).prop_map(Damage::Other),
        4 => place.clone().prop_map(Damage::Bit),
        2 => place.clone().prop_map(Damage::Cut),
        3 => (prop_oneof![2 => 0..400usize, 1 => place.clone()], bytes()).prop_map(|(at, bytes)| Damage::Over(at, bytes)),
        2 => (place.clone(), bytes()).prop_map(|(at, bytes)| Damage::In(at, bytes)),
        2 => (place.clone(), 1..40usize).prop_map(|(at, length)| Damage::Out(at, length)),
        4 => (place, count).prop_map(|(at, count)| Damage::Count(at, count)),
    ];
    proptest::collection::vec(one, 1..4).boxed()
}

/// A file after all that happens to it; places are taken modulo its length.
pub fn damaged(valid: &[u8], damages: &[Damage]) -> Vec<u8> {
    let mut file = valid.to_vec();
    for damage in damages {
        let length = file.len().max(1);
        match damage {
            Damage::Other(bytes) => file.clone_from(bytes),
            Damage::Bit(bit) if !file.is_empty() => file[bit / 8 % length] ^= 1 << (bit % 8),
            Damage::Cut(at) => file.truncate(at % length),
            Damage::Over(at, bytes) => {
                let at = at % length;
                file.iter_mut().skip(at).zip(bytes).for_each(|(to, &byte)| *to = byte);
            }
            Damage::In(at, bytes) => {
                drop(file.splice(at % length..at % length, bytes.iter().copied()).collect::<Vec<_>>());
            }
            Damage::Out(at, size) => {
                let at = at % length;
                drop(file.drain(at.min(file.len())..(at + size).min(file.len())));
            }
            Damage::Count(at, count) => {
                let Some(start) =
                    (0..file.len()).map(|ahead| (at + ahead) % length).find(|&at| file[at].is_ascii_digit())
                else {
                    continue;
                };
                let digits = file[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
                drop(file.splice(start..start + digits, count.to_string().into_bytes()).collect::<Vec<_>>());
            }
            Damage::Bit(_) => {}
        }
    }
    file
}
