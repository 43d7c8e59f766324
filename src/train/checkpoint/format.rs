//! Bytes in the format safetensors: a length, a header in JSON that says where tensors lie, and their elements one after another.

use super::file_error;
use super::head::Metadata;
use crate::base::{Fingerprint, Fingerprinter, HostTensor, Result};
use rayon::prelude::*;
use safetensors::tensor::{Dtype, SafeTensorError, SafeTensors, TensorInfo, TensorView};
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use std::collections::HashSet;
use std::io::Write;

/// The fingerprint of everything else that the file holds stands in the metadata under this key.
const CHECKSUM: &str = "retrograd.checksum";
/// What the header calls the metadata; no tensor can have this name.
const METADATA: &str = "__metadata__";
/// The header begins after its length, and ends at a multiple of this.
const WORD: usize = 8;

/// What the crate `safetensors`, and others after it, read of a header at most, in bytes.
const MOST_HEADER: usize = 100_000_000;

/// Tensors and metadata that are ready to be written.
#[derive(Debug)]
pub(super) struct Encoded {
    header: Vec<u8>,
    tensors: Vec<(String, HostTensor)>,
}

impl Encoded {
    /// Of floats, which names tell apart. Every file of the same content has the same bytes.
    pub fn new(mut tensors: Vec<(String, HostTensor)>, mut metadata: Metadata, checksum: bool) -> Result<Self> {
        tensors.sort_by(|(one, _), (other, _)| one.cmp(other));
        if let Some(pair) = tensors.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(file_error(format!("two tensors would have the name `{}` in the file", pair[0].0)));
        }
        if tensors.iter().any(|(name, _)| name == METADATA) {
            return Err(file_error(format!("no tensor in a safetensors file can have the name `{METADATA}`")));
        }
        if checksum {
            let pieces: Vec<_> = tensors
                .iter()
                .map(|(name, tensor)| (name.as_str(), Dtype::F32, &tensor.shape()[..], tensor.data().bytes()))
                .collect();
            metadata.insert(CHECKSUM.to_owned(), fingerprint(&pieces, &metadata).to_string());
        }
        let mut end = 0;
        let infos = tensors.iter().map(|(name, tensor)| {
            let start = end;
            end += tensor.data().bytes().len();
            let info = TensorInfo { dtype: Dtype::F32, shape: tensor.shape().to_vec(), data_offsets: (start, end) };
            (name.clone(), info)
        });
        let infos: Vec<_> = infos.collect();
        let fail = |error: String| file_error(format!("the tensors could not be written down: {error}"));
        let some = (!metadata.is_empty()).then_some(metadata);
        let metadata = safetensors::tensor::Metadata::new(some, infos).map_err(|error| fail(error.to_string()))?;
        // A value of JSON has its keys in order, unlike the metadata.
        let json = serde_json::to_value(&metadata).map_err(|error| fail(error.to_string()))?;
        let mut header = json.to_string().into_bytes();
        header.resize(header.len().next_multiple_of(WORD), b' ');
        if header.len() > MOST_HEADER {
            return Err(file_error(format!(
                "names, shapes and metadata take {} bytes, and readers of safetensors files take at most {MOST_HEADER}: save less beside \
                 the weights",
                header.len()
            )));
        }
        Ok(Self { header, tensors })
    }

    /// Writes all of it.
    pub fn write(&self, out: &mut dyn Write) -> std::io::Result<()> {
        out.write_all(&(self.header.len() as u64).to_le_bytes())?;
        out.write_all(&self.header)?;
        self.tensors.iter().try_for_each(|(_, tensor)| out.write_all(tensor.data().bytes()))
    }

    /// All of it in memory.
    pub fn to_bytes(&self) -> Vec<u8> {
        let elements: usize = self.tensors.iter().map(|(_, tensor)| tensor.data().bytes().len()).sum();
        let mut bytes = Vec::with_capacity(WORD + self.header.len() + elements);
        self.write(&mut bytes).expect("memory takes everything");
        bytes
    }
}

/// What bytes hold: views of tensors, and metadata.
#[derive(Debug)]
pub(super) struct Decoded<'b> {
    pub tensors: SafeTensors<'b>,
    pub metadata: Metadata,
}

impl<'b> Decoded<'b> {
    /// Checks that the bytes are of this format, and as they were written where they carry a checksum.
    pub fn new(bytes: &'b [u8]) -> Result<Self> {
        let decoded = Self::unverified(bytes)?;
        let Some(wanted) = decoded.metadata.get(CHECKSUM) else { return Ok(decoded) };
        let views: Vec<_> = decoded.tensors.iter().collect();
        let mut pieces: Vec<_> =
            views.iter().map(|(name, view)| (*name, view.dtype(), view.shape(), view.data())).collect();
        pieces.sort_by_key(|(name, ..)| *name);
        if fingerprint(&pieces, &decoded.metadata).to_string() == *wanted {
            return Ok(decoded);
        }
        Err(file_error(
            "the file is damaged: its content has another checksum than when it was written. Use another copy, or an earlier \
             checkpoint",
        ))
    }

    /// Of bytes that were looked at before.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn trusted(bytes: &'b [u8]) -> Result<Self> {
        Self::unverified(bytes)
    }

    /// Checks the format alone.
    fn unverified(bytes: &'b [u8]) -> Result<Self> {
        let invalid = |error: &dyn std::fmt::Display| file_error(format!("this is no valid safetensors file: {error}"));
        let (length, head) = SafeTensors::read_metadata(bytes).map_err(|error| match error {
            SafeTensorError::HeaderTooSmall => invalid(&format!("it ends after {} bytes", bytes.len())),
            SafeTensorError::HeaderTooLarge => invalid(&"it begins otherwise, as files of another format do"),
            SafeTensorError::InvalidHeaderLength => {
                invalid(&format!("it ends after {} bytes, within its header", bytes.len()))
            }
            SafeTensorError::MetadataIncompleteBuffer => invalid(&"it is cut off, or longer than its header says"),
            other => invalid(&other),
        })?;
        // What stands in a map twice would be what stands there last, for some readers.
        serde_json::Deserializer::from_slice(&bytes[WORD..WORD + length])
            .deserialize_map(Unique { depth: 0 })
            .map_err(|error| invalid(&error))?;
        let metadata = head.metadata().clone().unwrap_or_default();
        let tensors = SafeTensors::deserialize(bytes).map_err(|error| invalid(&error))?;
        Ok(Self { tensors, metadata })
    }

    /// Names and tensors in the order of the names: the file's own order is none.
    pub fn sorted(&self) -> Vec<(&str, TensorView<'b>)> {
        let mut named: Vec<_> = self.tensors.iter().collect();
        named.sort_by_key(|(name, _)| *name);
        named
    }
}

/// The metadata of a file, read from its header alone: whether what follows is whole is not looked at.
#[cfg(not(target_arch = "wasm32"))]
pub(super) fn metadata_of(bytes: &[u8]) -> Option<Metadata> {
    #[derive(serde::Deserialize)]
    struct Header {
        #[serde(rename = "__metadata__", default)]
        metadata: Metadata,
    }
    let length = usize::try_from(u64::from_le_bytes(bytes.get(..WORD)?.try_into().ok()?)).ok()?;
    let header = bytes.get(WORD..WORD.checked_add(length)?)?;
    serde_json::from_slice::<Header>(header).ok().map(|header| header.metadata)
}

/// A fingerprint of tensors in the order of their names, and of all metadata but the fingerprint itself. Tensors are taken on
/// as many threads as there are.
fn fingerprint(tensors: &[(&str, Dtype, &[usize], &[u8])], metadata: &Metadata) -> Fingerprint {
    let of_elements: Vec<Fingerprint> = tensors
        .par_iter()
        .map(|(.., bytes)| {
            let mut fingerprinter = Fingerprinter::new("elements");
            fingerprinter.bytes(bytes);
            fingerprinter.finish()
        })
        .collect();
    let mut fingerprinter = Fingerprinter::new("checkpoint");
    let mut pairs: Vec<_> = metadata.iter().filter(|(key, _)| *key != CHECKSUM).collect();
    pairs.sort();
    fingerprinter.number(pairs.len() as u64);
    for (key, text) in pairs {
        fingerprinter.bytes(key.as_bytes());
        fingerprinter.bytes(text.as_bytes());
    }
    fingerprinter.number(tensors.len() as u64);
    for ((name, dtype, shape, _), elements) in tensors.iter().zip(of_elements) {
        fingerprinter.bytes(name.as_bytes());
        fingerprinter.bytes(dtype.to_string().as_bytes());
        fingerprinter.number(shape.len() as u64);
        shape.iter().for_each(|&extent| fingerprinter.number(extent as u64));
        fingerprinter.bytes(elements.bytes());
    }
    fingerprinter.finish()
}

/// A map of JSON whose keys differ, in the header itself and in its values.
struct Unique {
    depth: usize,
}

impl<'de> Visitor<'de> for Unique {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a map")
    }

    /// Metadata of nothing.
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut keys = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if self.depth == 0 {
                map.next_value_seed(Unique { depth: 1 })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
            if let Some(key) = keys.replace(key) {
                return Err(serde::de::Error::custom(format!("`{key}` stands there twice")));
            }
        }
        Ok(())
    }
}

impl<'de> serde::de::DeserializeSeed<'de> for Unique {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}
