//! Fingerprints of content: SHA-256 over an encoding that no two contents share.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;

/// A fingerprint: equal for equal content, on every machine and for ever, and another one for any other content. It prints as 64
/// hexadecimal digits, with `{:#}` as the first 12; it is SHA-256 (FIPS 180-4).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The 32 bytes.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = if f.alternate() { 6 } else { self.0.len() };
        self.0[..shown].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

impl FromStr for Fingerprint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = || format!("`{text}` is no fingerprint, which has 64 hexadecimal digits");
        if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(refuse());
        }
        let mut bytes = [0; 32];
        for (place, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * place..2 * place + 2], 16).map_err(|_| refuse())?;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Takes content piece by piece. Pieces carry their length, so that no two lists of them look the same.
#[derive(Clone, Debug)]
pub struct Fingerprinter(Sha256);

impl Fingerprinter {
    /// Nothing but what it is a fingerprint of, such as `weights`.
    #[must_use]
    pub fn new(of: &str) -> Self {
        let mut fingerprinter = Self(Sha256::new());
        fingerprinter.bytes(of.as_bytes());
        fingerprinter
    }

    /// Adds bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.update(bytes);
    }

    /// Adds a number.
    pub fn number(&mut self, number: u64) {
        self.0.update(number.to_le_bytes());
    }

    /// Adds 32-bit words, the same on machines of either byte order.
    pub fn words(&mut self, words: &[u32]) {
        self.number(words.len() as u64);
        if cfg!(target_endian = "little") {
            self.0.update(bytemuck::cast_slice::<u32, u8>(words));
        } else {
            for word in words {
                self.0.update(word.to_le_bytes());
            }
        }
    }

    /// The fingerprint of everything so far.
    #[must_use]
    pub fn finish(self) -> Fingerprint {
        Fingerprint(self.0.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_published_function_of_lengths_and_bytes() {
        // What sha256sum says of the 8 bytes of the length 3, and `abc`.
        let text = "ce91dc5eec0139adf091900d225971d6ad246a845bad791b5693a9d0d55dd391";
        let fingerprint = Fingerprinter::new("abc").finish();
        assert_eq!(fingerprint.to_string(), text);
        assert_eq!(text.parse(), Ok(fingerprint));
        assert_eq!(format!("{fingerprint:#}"), fingerprint.to_string()[..12]);
        assert!("xyz".parse::<Fingerprint>().is_err());
        let mut pieces = [Fingerprinter::new("a"), Fingerprinter::new("a")];
        pieces[0].bytes(b"bc");
        pieces[1].bytes(b"b");
        pieces[1].bytes(b"c");
        let [one, two] = pieces.map(Fingerprinter::finish);
        assert_ne!(one, two);
    }
}
