use super::gpu::GpuRead;
use super::numbers::{NumbersRead, refuse};
use crate::base::{DType, Error, ErrorKind, HostData, HostTensor, Result, Shape};
use crate::record::IndexCheck;

/// A tensor on its way to the host. Steps may run meanwhile: what arrives is the value at the time
/// of asking.
pub struct PendingRead {
    pending: Pending,
    guards: Vec<Guard>,
    /// What checks of numbers have found, where they may have found something.
    numbers: Option<NumbersRead>,
}

impl std::fmt::Debug for PendingRead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PendingRead")
    }
}

enum Pending {
    Ready(HostTensor),
    Gpu { read: GpuRead, shape: Shape, dtype: DType },
}

/// What a check of computed indices found, on its way as well.
struct Guard {
    any: Pending,
    position: Pending,
    check: IndexCheck,
}

impl Pending {
    async fn finish(self) -> Result<HostTensor> {
        match self {
            Self::Ready(tensor) => Ok(tensor),
            Self::Gpu { read, shape, dtype } => tensor(shape, dtype, &read.finish().await?),
        }
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn wait(self) -> Result<HostTensor> {
        match self {
            Self::Ready(tensor) => Ok(tensor),
            Self::Gpu { read, shape, dtype } => tensor(shape, dtype, &read.wait()?),
        }
    }
}

impl PendingRead {
    pub(crate) const fn ready(tensor: HostTensor) -> Self {
        Self { pending: Pending::Ready(tensor), guards: Vec::new(), numbers: None }
    }

    pub(super) const fn from_gpu(read: GpuRead, shape: Shape, dtype: DType) -> Self {
        Self { pending: Pending::Gpu { read, shape, dtype }, guards: Vec::new(), numbers: None }
    }

    /// With a check of indices, whose findings are read as well: what arrives then is an error where it failed.
    pub(crate) fn guarded(mut self, any: Self, position: Self, check: IndexCheck) -> Self {
        self.guards.push(Guard { any: any.pending, position: position.pending, check });
        self
    }

    /// With what checks of numbers have found: what arrives then is an error where that is anything.
    pub(crate) fn with_numbers(mut self, numbers: Option<NumbersRead>) -> Self {
        self.numbers = numbers;
        self
    }

    /// The tensor, once it is there.
    ///
    /// # Errors
    /// When the device is lost, the step used an index outside of what it selects from, or a check of numbers found NaN or
    /// infinity ([`ErrorKind::NonFinite`]).
    pub async fn finish(self) -> Result<HostTensor> {
        let tensor = self.pending.finish().await?;
        for guard in self.guards {
            judge(&guard.any.finish().await?, &guard.position.finish().await?, &guard.check)?;
        }
        // An index outside is the cause where both are found: what it selects is NaN.
        if let Some(numbers) = self.numbers {
            refuse(numbers.finish().await?)?;
        }
        Ok(tensor)
    }

    /// The tensor; blocks until it is there.
    ///
    /// # Errors
    /// As those of [`finish`](Self::finish).
    #[cfg(not(target_arch = "wasm32"))]
    pub fn wait(self) -> Result<HostTensor> {
        let tensor = self.pending.wait()?;
        for guard in self.guards {
            judge(&guard.any.wait()?, &guard.position.wait()?, &guard.check)?;
        }
        if let Some(numbers) = self.numbers {
            refuse(numbers.wait()?)?;
        }
        Ok(tensor)
    }
}

/// An error where a check found something.
fn judge(any: &HostTensor, position: &HostTensor, check: &IndexCheck) -> Result<()> {
    let any = any.to_vec();
    let Some(number) = any.iter().position(|&any| any != 0.0) else { return Ok(()) };
    let position = match position.data() {
        HostData::I32(position) => position.get(number).copied().unwrap_or_default(),
        _ => 0,
    };
    let which = if any.len() > 1 {
        format!("step {} of {} that ran together", number + 1, any.len())
    } else {
        "the step".into()
    };
    let message = format!(
        "{} at {}: the index at position {position} (in row-major order) lies outside of 0 .. {}: {which} computed it, and \
         what it selected is NaN, or left out of a sum",
        check.op, check.place.location, check.limit
    );
    Err(Error::new(ErrorKind::Index, message))
}

fn tensor(shape: Shape, dtype: DType, bytes: &[u8]) -> Result<HostTensor> {
    HostTensor::new(shape, HostData::from_bytes(dtype, bytes))
}
