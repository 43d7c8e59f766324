//! One sample of a batch, to be changed in place.

use super::{Batch, order};
use crate::base::{DType, Error, ErrorKind, Generator, HostData, HostTensor, Result};

/// One sample of a batch, whose elements a function given to [`DataLoader::augment`](super::DataLoader::augment) may change.
pub struct Sample<'b> {
    columns: &'b mut [(String, HostTensor)],
    /// Its place in the batch.
    place: usize,
    row: usize,
}

impl Sample<'_> {
    /// Which sample of the dataset it is.
    #[must_use]
    pub const fn row(&self) -> usize {
        self.row
    }

    /// The shape that one sample has in a column, such as `[28, 28]`.
    ///
    /// # Errors
    /// When there is no column of that name.
    pub fn shape(&self, name: &str) -> Result<&[usize]> {
        Ok(&self.columns[self.column(name)?].1.shape()[1..])
    }

    /// Its elements in a column of floats, row-major.
    ///
    /// # Errors
    /// When there is no column of that name, or it holds integers.
    pub fn floats(&mut self, name: &str) -> Result<&mut [f32]> {
        let place = self.place;
        let (rows, data) = self.data(name)?;
        let dtype = data.dtype();
        match data {
            HostData::F32(data) => Ok(slice(data, place, rows)),
            _ => Err(wrong(name, dtype, DType::F32)),
        }
    }

    /// Its elements in a column of `i32`, row-major.
    ///
    /// # Errors
    /// When there is no column of that name, or it holds something else.
    pub fn integers(&mut self, name: &str) -> Result<&mut [i32]> {
        let place = self.place;
        let (rows, data) = self.data(name)?;
        let dtype = data.dtype();
        match data {
            HostData::I32(data) => Ok(slice(data, place, rows)),
            _ => Err(wrong(name, dtype, DType::I32)),
        }
    }

    /// Its elements in a column of `u32`, row-major.
    ///
    /// # Errors
    /// When there is no column of that name, or it holds something else.
    pub fn unsigned(&mut self, name: &str) -> Result<&mut [u32]> {
        let place = self.place;
        let (rows, data) = self.data(name)?;
        let dtype = data.dtype();
        match data {
            HostData::U32(data) => Ok(slice(data, place, rows)),
            _ => Err(wrong(name, dtype, DType::U32)),
        }
    }

    fn column(&self, name: &str) -> Result<usize> {
        self.columns.iter().position(|(column, _)| column == name).ok_or_else(|| {
            let names: Vec<String> = self.columns.iter().map(|(name, _)| format!("`{name}`")).collect();
            Error::new(ErrorKind::Argument, format!("there is no column `{name}`: there are {}", names.join(", ")))
        })
    }

    fn data(&mut self, name: &str) -> Result<(usize, &mut HostData)> {
        let column = self.column(name)?;
        let tensor = &mut self.columns[column].1;
        Ok((tensor.shape()[0], tensor.data_mut()))
    }
}

fn slice<T>(data: &mut [T], place: usize, rows: usize) -> &mut [T] {
    let width = data.len() / rows;
    &mut data[place * width..(place + 1) * width]
}

fn wrong(name: &str, dtype: DType, wanted: DType) -> Error {
    let by = match dtype {
        DType::F32 => "floats",
        DType::I32 => "integers",
        DType::U32 => "unsigned",
    };
    let message = format!("column `{name}` holds {dtype} elements, not {wanted}: take them by `Sample::{by}`");
    Error::new(ErrorKind::Argument, message)
}

/// Changes samples with random numbers of their own.
pub(super) type Change = dyn Fn(&mut Sample<'_>, &mut Generator) -> Result<()> + Send + Sync;

/// Changes every sample of a batch, each with the random numbers that belong to the seed, the epoch and its row: neither threads nor
/// the size of batches make a difference.
pub(super) fn change_all(batch: &mut Batch, rows: &[usize], epoch: u64, seed: u64, change: &Change) -> Result<()> {
    for (place, &row) in rows.iter().enumerate() {
        let mut sample = Sample { columns: batch.columns_mut(), place, row };
        change(&mut sample, &mut order::stream(seed, &[epoch, row as u64]))
            .map_err(|error| error.during(format!("augmenting sample {row}")))?;
    }
    Ok(())
}
