//! Settings of convolutions and pooling, and what fits them.

use crate::base::Shape;

/// How a window moves over a tensor along `N` axes, and what it combines. All extents are in elements.
///
/// ```
/// use retrograd::ops::ConvSettings;
/// let settings = ConvSettings::<2>::new().stride(2).padding(1);
/// assert_eq!(settings.stride, [2, 2]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConvSettings<const N: usize> {
    /// How far the window moves at a time.
    pub stride: [usize; N],
    /// Zeros on either side.
    pub padding: [usize; N],
    /// How far apart the elements of a window lie.
    pub dilation: [usize; N],
    /// Into how many groups channels are divided; each group of outputs sees its own group of inputs alone.
    pub groups: usize,
}

impl<const N: usize> Default for ConvSettings<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> ConvSettings<N> {
    /// Stride 1, no padding, dilation 1, one group.
    #[must_use]
    pub const fn new() -> Self {
        Self { stride: [1; N], padding: [0; N], dilation: [1; N], groups: 1 }
    }

    /// The same stride along all axes.
    #[must_use]
    pub const fn stride(self, stride: usize) -> Self {
        self.strides([stride; N])
    }

    /// A stride for every axis.
    #[must_use]
    pub const fn strides(self, stride: [usize; N]) -> Self {
        Self { stride, ..self }
    }

    /// The same padding along all axes.
    #[must_use]
    pub const fn padding(self, padding: usize) -> Self {
        self.paddings([padding; N])
    }

    /// A padding for every axis.
    #[must_use]
    pub const fn paddings(self, padding: [usize; N]) -> Self {
        Self { padding, ..self }
    }

    /// The same dilation along all axes.
    #[must_use]
    pub const fn dilation(self, dilation: usize) -> Self {
        self.dilations([dilation; N])
    }

    /// A dilation for every axis.
    #[must_use]
    pub const fn dilations(self, dilation: [usize; N]) -> Self {
        Self { dilation, ..self }
    }

    /// So many groups of channels.
    #[must_use]
    pub const fn groups(self, groups: usize) -> Self {
        Self { groups, ..self }
    }

    /// Whether a convolution of x with weights w, or a transposed one, can be computed.
    pub(super) fn check(&self, x: &Shape, w: &Shape, transposed: bool) -> Result<(), String> {
        if x.rank() != N + 2 || w.rank() != N + 2 {
            return Err(format!(
                "input and weight need {} axes each (batch, channels and {N} more), and have {} and {}",
                N + 2,
                x.rank(),
                w.rank()
            ));
        }
        // More groups than there are channels do not divide them, however many channels that would make.
        let both = w[1].saturating_mul(self.groups);
        let (channels, outs) = if transposed { (w[0], both) } else { (both, w[0]) };
        for (role, count) in [("input", x[1]), ("output", outs)] {
            divides(self.groups, role, count)?;
        }
        if channels != x[1] {
            let role =
                if transposed { "input channels".to_owned() } else { format!("channels in {} groups", self.groups) };
            return Err(format!("the weight {w} is for {channels} {role}, and the input {x} has {}", x[1]));
        }
        for axis in 0..N {
            let (stride, padding, dilation) = (self.stride[axis], self.padding[axis], self.dilation[axis]);
            let (extent, kernel) = (x[2 + axis], w[2 + axis]);
            fits(extent, kernel, stride, padding, dilation, transposed)
                .map_err(|reason| format!("along axis {}: {reason}", 2 + axis))?;
        }
        Ok(())
    }
}

/// Whether groups divide the channels on one side evenly.
pub(crate) fn divides(groups: usize, role: &str, channels: usize) -> Result<(), String> {
    if groups == 0 {
        return Err("the number of groups must be at least 1, and is 0".into());
    }
    if !channels.is_multiple_of(groups) {
        return Err(format!(
            "{groups} groups do not divide {channels} {role} channels evenly: use a number of groups that divides it"
        ));
    }
    Ok(())
}

/// Whether a window fits into an extent with its padding.
pub(super) fn fits(
    extent: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
    dilation: usize,
    transposed: bool,
) -> Result<(), String> {
    if stride == 0 {
        return Err("a stride of 0 never moves: it must be at least 1".into());
    }
    // Shaders index with 32 bits.
    let most = u32::MAX as usize / 2;
    if let Some((what, value)) =
        [("stride", stride), ("padding", padding), ("dilation", dilation)].into_iter().find(|&(_, value)| value > most)
    {
        return Err(format!("a {what} of {value} is larger than any tensor: it must be at most {most}"));
    }
    if dilation == 0 {
        return Err("a dilation of 0 puts a window's elements on one another: it must be at least 1".into());
    }
    let reach = dilation.checked_mul(kernel - 1).and_then(|reach| reach.checked_add(1)).filter(|&reach| reach <= most);
    let padded = padding.checked_mul(2).and_then(|padding| padding.checked_add(extent));
    let spread = if transposed { extent.checked_mul(stride).filter(|&spread| spread <= most) } else { Some(0) };
    let (Some(reach), Some(padded), Some(_)) = (reach, padded, spread) else {
        return Err(format!(
            "a kernel of {kernel} with stride {stride}, padding {padding} and dilation {dilation} on an input of {extent} \
             reaches further than any tensor: its extents must stay below {most}"
        ));
    };
    if !transposed && reach > padded {
        let spread =
            if dilation == 1 { String::new() } else { format!(" (spread over {reach} by dilation {dilation})") };
        return Err(format!(
            "the kernel of {kernel}{spread} is larger than the input of {extent} with padding {padding} on either side, \
             {padded}: use a smaller kernel or more padding"
        ));
    }
    Ok(())
}

/// How many positions a window has in an extent that includes the padding.
pub(super) const fn out_extent(padded: usize, kernel: usize, stride: usize, dilation: usize) -> usize {
    (padded - dilation * (kernel - 1) - 1) / stride + 1
}
