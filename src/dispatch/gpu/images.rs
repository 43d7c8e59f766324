//! Buffers copied to images, as which some kernels read them.

use super::Gpu;
use crate::base::{DType, Result};
use crate::plan::{Binding, Dispatch, Image};

const fn format(dtype: DType) -> wgpu::TextureFormat {
    match dtype {
        DType::F32 => wgpu::TextureFormat::Rgba32Float,
        DType::I32 => wgpu::TextureFormat::Rgba32Sint,
        DType::U32 => wgpu::TextureFormat::Rgba32Uint,
    }
}

/// How an image is bound.
pub(super) const fn layout(dtype: DType) -> wgpu::BindingType {
    wgpu::BindingType::Texture {
        sample_type: match dtype {
            DType::F32 => wgpu::TextureSampleType::Float { filterable: false },
            DType::I32 => wgpu::TextureSampleType::Sint,
            DType::U32 => wgpu::TextureSampleType::Uint,
        },
        view_dimension: wgpu::TextureViewDimension::D2,
        multisampled: false,
    }
}

pub(super) fn allocate(gpu: &Gpu, image: &Image) -> Result<wgpu::Texture> {
    let descriptor = wgpu::TextureDescriptor {
        label: Some("image"),
        size: wgpu::Extent3d { width: Image::WIDTH, height: image.rows, depth_or_array_layers: 1 },
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format: format(image.dtype),
        usage: wgpu::TextureUsages::COPY_DST | wgpu::TextureUsages::TEXTURE_BINDING,
        view_formats: &[],
    };
    let what = || {
        let bytes = u64::from(Image::WIDTH) * u64::from(image.rows) * Image::TEXEL;
        format!("allocating {bytes} bytes for an image of {} by {} texels", Image::WIDTH, image.rows)
    };
    gpu.allocate(what, || gpu.device.create_texture(&descriptor))
}

/// Writes down the copies of what a dispatch reads as images.
pub(super) fn copy(
    encoder: &mut wgpu::CommandEncoder,
    dispatch: &Dispatch,
    buffers: &[wgpu::Buffer],
    images: &[wgpu::Texture],
) {
    for (binding, image) in dispatch.bindings.iter().zip(&dispatch.images) {
        if let Some(image) = image {
            copy_one(encoder, binding, &buffers[binding.buffer], &images[*image]);
        }
    }
}

/// Copies whole rows, and what is left over in a row of its own. Buffers are as long as whole texels.
fn copy_one(encoder: &mut wgpu::CommandEncoder, binding: &Binding, buffer: &wgpu::Buffer, image: &wgpu::Texture) {
    let texels = binding.bytes.div_ceil(Image::TEXEL) as u32;
    let (rows, rest) = (texels / Image::WIDTH, texels % Image::WIDTH);
    let mut part = |first_row: u32, width: u32, height: u32| {
        let row = Image::WIDTH * Image::TEXEL as u32;
        let layout = wgpu::TexelCopyBufferLayout {
            offset: binding.offset + u64::from(first_row) * u64::from(row),
            bytes_per_row: Some(row),
            rows_per_image: None,
        };
        let mut to = image.as_image_copy();
        to.origin.y = first_row;
        let size = wgpu::Extent3d { width, height, depth_or_array_layers: 1 };
        encoder.copy_buffer_to_texture(wgpu::TexelCopyBufferInfo { buffer, layout }, to, size);
    };
    if rows > 0 {
        part(0, Image::WIDTH, rows);
    }
    if rest > 0 {
        part(rows, rest, 1);
    }
}
