//! Running averages of parameters.

use super::State;
use crate::base::{Error, ErrorKind, HostTensor, Result};
use crate::plan::Updates;

impl State {
    /// Begins running averages of parameters at their present values, where they have none.
    pub(crate) async fn begin_averages(&self, parameters: &[usize]) -> Result<()> {
        for &number in parameters {
            if self.with_counts(|counts| counts.averages[number].is_none()) {
                let value = self.begin_read(None, number)?.finish().await?;
                self.write(Some(Updates::AVERAGE), number, &value)?;
                self.with_counts(|counts| counts.averages[number] = Some(0));
            }
        }
        Ok(())
    }

    /// For every parameter, whether it has a running average.
    pub(crate) fn averaged(&self) -> Vec<bool> {
        self.with_counts(|counts| counts.averages.iter().map(Option::is_some).collect())
    }

    /// The running average of a parameter: see [`Training::average`](crate::Training::average).
    ///
    /// # Errors
    /// When there is no parameter of this name, it has no average, or the device fails.
    pub async fn average_async(&self, name: &str) -> Result<HostTensor> {
        let number = self.number(name)?;
        if !self.averaged()[number] {
            let message = format!("parameter `{name}` has no running average: train it with `Training::average`");
            return Err(Error::new(ErrorKind::Argument, message));
        }
        self.begin_read(Some(Updates::AVERAGE), number)?.finish().await
    }

    /// As [`average_async`](Self::average_async), blocking.
    ///
    /// # Errors
    /// As there.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn average(&self, name: &str) -> Result<HostTensor> {
        pollster::block_on(self.average_async(name))
    }

    /// Sets every parameter that has a running average to it, for good: to save a model that is used without training, say.
    ///
    /// # Errors
    /// When the device fails.
    pub async fn take_averages_async(&self) -> Result<()> {
        for (number, _) in self.averaged().into_iter().enumerate().filter(|(_, averaged)| *averaged) {
            let value = self.begin_read(Some(Updates::AVERAGE), number)?.finish().await?;
            self.write(None, number, &value)?;
        }
        Ok(())
    }

    /// As [`take_averages_async`](Self::take_averages_async), blocking.
    ///
    /// # Errors
    /// As there.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn take_averages(&self) -> Result<()> {
        pollster::block_on(self.take_averages_async())
    }
}
