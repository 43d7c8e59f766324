//! Texts in the languages of the drivers, translated by naga with the options that wgpu's backends set.

use naga::ShaderStage;
use naga::back::{glsl, hlsl, msl, spv};
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{AddressSpace, Module, ResourceBinding, StorageAccess, TypeInner};

/// A language that drivers take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// Vulkan.
    Spirv,
    /// Metal.
    Msl,
    /// Direct3D 12.
    Hlsl,
    /// GL.
    Glsl,
}

impl Target {
    pub const ALL: [Self; 4] = [Self::Spirv, Self::Msl, Self::Hlsl, Self::Glsl];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Spirv => "SPIR-V 1.3",
            Self::Msl => "MSL 2.4",
            Self::Hlsl => "HLSL, shader model 5.1",
            Self::Glsl => "GLSL ES 3.10",
        }
    }

    pub const fn ending(self) -> &'static str {
        match self {
            Self::Spirv => "spv",
            Self::Msl => "metal",
            Self::Hlsl => "hlsl",
            Self::Glsl => "comp",
        }
    }
}

/// Whether a text talks to its subgroup.
pub fn uses_subgroups(text: &str) -> bool {
    text.contains("subgroup")
}

/// Why a text that is valid need not be had in a language, where that is so.
pub fn not_needed(target: Target, text: &str) -> Option<&'static str> {
    match target {
        Target::Hlsl if uses_subgroups(text) => {
            Some("subgroups of eight lanes are planned for software Vulkan alone; shader model 5.1 has none")
        }
        Target::Glsl if uses_subgroups(text) => {
            Some("subgroups of eight lanes are planned for software Vulkan alone; wgpu's GL has none")
        }
        _ => None,
    }
}

/// A valid module.
pub struct Valid {
    module: Module,
    info: ModuleInfo,
}

/// Reads and validates a text, as wgpu does.
pub fn validate(text: &str) -> Result<Valid, String> {
    let module = naga::front::wgsl::parse_str(text).map_err(|error| error.emit_to_string(text))?;
    let capabilities = if uses_subgroups(text) { Capabilities::SUBGROUP } else { Capabilities::empty() };
    let mut validator = Validator::new(ValidationFlags::all(), capabilities);
    let info = validator.validate(&module).map_err(|error| error.emit_to_string(text))?;
    Ok(Valid { module, info })
}

/// Every binding of a module: its place, and whether it is a buffer, and written.
fn bindings(module: &Module) -> Vec<(ResourceBinding, bool, bool)> {
    let of = |(_, variable): (_, &naga::GlobalVariable)| {
        let image = matches!(module.types[variable.ty].inner, TypeInner::Image { .. });
        let written =
            matches!(variable.space, AddressSpace::Storage { access } if access.contains(StorageAccess::STORE));
        Some((variable.binding?, !image, written))
    };
    module.global_variables.iter().filter_map(of).collect()
}

impl Valid {
    /// The text in another language.
    pub fn write(&self, target: Target) -> Result<Vec<u8>, String> {
        match target {
            Target::Spirv => self.spirv(),
            Target::Msl => self.msl(),
            Target::Hlsl => self.hlsl(),
            Target::Glsl => self.glsl(),
        }
    }

    fn spirv(&self) -> Result<Vec<u8>, String> {
        let restrict = BoundsCheckPolicy::Restrict;
        let options = spv::Options {
            lang_version: (1, 3),
            flags: spv::WriterFlags::empty(),
            bounds_check_policies: BoundsCheckPolicies {
                index: restrict,
                buffer: restrict,
                image_load: restrict,
                binding_array: BoundsCheckPolicy::Unchecked,
            },
            zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::None,
            ..spv::Options::default()
        };
        let pipeline = spv::PipelineOptions { shader_stage: ShaderStage::Compute, entry_point: "main".into() };
        let words = spv::write_vec(&self.module, &self.info, &options, Some(&pipeline)).map_err(|e| e.to_string())?;
        Ok(words.into_iter().flat_map(u32::to_le_bytes).collect())
    }

    fn msl(&self) -> Result<Vec<u8>, String> {
        let mut resources = msl::EntryPointResources::default();
        let (mut buffers, mut textures) = (0, 0);
        for (binding, is_buffer, mutable) in bindings(&self.module) {
            let slots = if is_buffer { &mut buffers } else { &mut textures };
            let slot = Some(*slots);
            *slots += 1;
            let (buffer, texture) = if is_buffer { (slot, None) } else { (None, slot) };
            resources.resources.insert(binding, msl::BindTarget { buffer, texture, mutable, ..Default::default() });
        }
        resources.sizes_buffer = Some(buffers);
        let restrict = BoundsCheckPolicy::Restrict;
        let options = msl::Options {
            lang_version: (2, 4),
            per_entry_point_map: msl::EntryPointResourceMap::from([("main".to_owned(), resources)]),
            fake_missing_bindings: false,
            bounds_check_policies: BoundsCheckPolicies {
                index: restrict,
                buffer: restrict,
                image_load: restrict,
                binding_array: BoundsCheckPolicy::Unchecked,
            },
            zero_initialize_workgroup_memory: false,
            ..msl::Options::default()
        };
        let pipeline = msl::PipelineOptions {
            entry_point: Some((ShaderStage::Compute, "main".into())),
            ..msl::PipelineOptions::default()
        };
        let (text, info) =
            msl::write_string(&self.module, &self.info, &options, &pipeline).map_err(|error| error.to_string())?;
        for name in info.entry_point_names {
            name.map_err(|error| error.to_string())?;
        }
        Ok(text.into_bytes())
    }

    fn hlsl(&self) -> Result<Vec<u8>, String> {
        let mut binding_map = hlsl::BindingMap::new();
        for (binding, _, _) in bindings(&self.module) {
            let target = hlsl::BindTarget {
                space: binding.group as u8,
                register: binding.binding,
                restrict_indexing: true,
                ..Default::default()
            };
            binding_map.insert(binding, target);
        }
        let options = hlsl::Options {
            // What the compiler that comes with Windows takes.
            shader_model: hlsl::ShaderModel::V5_1,
            binding_map,
            fake_missing_bindings: false,
            zero_initialize_workgroup_memory: false,
            ..hlsl::Options::default()
        };
        let pipeline = hlsl::PipelineOptions { entry_point: Some((ShaderStage::Compute, "main".into())) };
        let mut text = String::new();
        let written = hlsl::Writer::new(&mut text, &options, &pipeline).write(&self.module, &self.info, None);
        for name in written.map_err(|error| error.to_string())?.entry_point_names {
            name.map_err(|error| error.to_string())?;
        }
        Ok(text.into_bytes())
    }

    fn glsl(&self) -> Result<Vec<u8>, String> {
        let mut binding_map = glsl::BindingMap::new();
        let (mut buffers, mut textures) = (0, 0);
        for (binding, is_buffer, _) in bindings(&self.module) {
            let slots = if is_buffer { &mut buffers } else { &mut textures };
            binding_map.insert(binding, *slots);
            *slots += 1;
        }
        let options = glsl::Options {
            version: glsl::Version::new_gles(310),
            binding_map,
            zero_initialize_workgroup_memory: false,
            ..glsl::Options::default()
        };
        let pipeline =
            glsl::PipelineOptions { shader_stage: ShaderStage::Compute, entry_point: "main".into(), multiview: None };
        let unchecked = BoundsCheckPolicy::Unchecked;
        let policies = BoundsCheckPolicies {
            index: unchecked,
            buffer: unchecked,
            image_load: unchecked,
            binding_array: unchecked,
        };
        let mut text = String::new();
        glsl::Writer::new(&mut text, &self.module, &self.info, &options, &pipeline, policies)
            .and_then(|mut writer| writer.write())
            .map_err(|error| error.to_string())?;
        Ok(text.into_bytes())
    }
}
