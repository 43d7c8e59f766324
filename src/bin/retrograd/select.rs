//! Which devices a name means.

use crate::failure::Failure;
use retrograd::{Device, DeviceInfo, ErrorKind};

/// What is known of the devices that a name means: of one, or with `all` of every one. Without a name it is that of
/// `RETROGRAD_DEVICE`, or else the best.
pub fn devices(name: Option<&str>) -> Result<Vec<DeviceInfo>, Failure> {
    let list = Device::list();
    let variable = std::env::var("RETROGRAD_DEVICE").ok().filter(|name| !name.is_empty());
    let found = match name.or(variable.as_deref()) {
        Some("all") => return Ok(list),
        Some(name) => match list.iter().find(|info| info.answers_to(name)) {
            Some(info) => Some(info.clone()),
            // It says which there are, or what is wrong with this one.
            None => return Err(Device::named(name).map_or_else(missing, |_| absent(name))),
        },
        None => list.iter().find(|info| info.position > 0 && !info.is_software).or(list.first()).cloned(),
    };
    Ok(found.into_iter().collect())
}

/// The one device that a name means, opened.
pub fn device(name: Option<&str>) -> Result<(DeviceInfo, Device), Failure> {
    if name == Some("all") {
        return Err(Failure::Usage("`--device all` is for `retrograd verify`: name one device".into()));
    }
    let info = devices(name)?.into_iter().next().ok_or_else(|| absent(name.unwrap_or_default()))?;
    let device = Device::listed(&info)?;
    Ok((info, device))
}

fn missing(error: retrograd::Error) -> Failure {
    match error.kind() {
        ErrorKind::Device => Failure::Usage(error.to_string()),
        _ => error.into(),
    }
}

fn absent(name: &str) -> Failure {
    Failure::Usage(format!("`{name}` is not among the devices that `retrograd devices` lists"))
}

/// What else there is where no device was named and none but the host was taken: whoever asks about a GPU should not take that for
/// an answer.
pub fn only_the_host(name: Option<&str>, devices: &[DeviceInfo]) -> Option<String> {
    let named = name.is_some() || std::env::var("RETROGRAD_DEVICE").is_ok_and(|name| !name.is_empty());
    if named || devices.iter().any(|info| info.position > 0) {
        return None;
    }
    let list = Device::list();
    let software: Vec<&str> =
        list.iter().filter(|info| info.position > 0).map(|info| info.description.as_str()).collect();
    let others = if software.is_empty() {
        "there are no other adapters: is the GPU's driver installed?".to_owned()
    } else {
        format!("there are only adapters in software, which `--device` can name: {}", software.join(", "))
    };
    Some(others)
}
