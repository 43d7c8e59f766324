//! Lists the devices of this machine with their limits and features.

mod support;

use clap::Parser;
use retrograd::Device;
use std::time::Instant;

#[derive(Parser)]
#[command(about = "Lists the devices of this machine with their limits and features")]
struct Options {
    /// Accepted like in every example; nothing here is random
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// End with one line of JSON
    #[arg(long)]
    json: bool,
}

fn main() -> std::process::ExitCode {
    support::run(|| {
        let options = Options::parse();
        let started = Instant::now();
        let chosen = Device::best()?;
        let list = Device::list();
        for info in &list {
            println!("{}", info.description);
            if !info.driver.is_empty() {
                println!("  driver               {}", info.driver);
            }
            let profile = &info.profile;
            println!("  kernels              {:?}", profile.class);
            if info.backend != "cpu" {
                println!("  storage binding      {} bytes", profile.binding_bytes);
                println!("  buffer               {} bytes", profile.buffer_bytes);
                println!("  storage buffers      {} per dispatch", profile.storage_buffers);
                println!(
                    "  workgroup            {} invocations, {} bytes",
                    profile.invocations, profile.workgroup_bytes
                );
                println!("  workgroups           {} per dimension", profile.workgroups);
                println!("  features             {}", info.features.join(", "));
            }
        }
        println!("chosen: {}", chosen.name());
        if options.json {
            let devices: Vec<_> = list
                .iter()
                .map(|info| {
                    serde_json::json!({
                        "name": info.name, "backend": info.backend, "driver": info.driver, "software": info.is_software,
                        "limits": info.profile, "features": info.features,
                    })
                })
                .collect();
            let seconds = started.elapsed().as_secs_f64();
            println!("{}", serde_json::json!({ "device": chosen.name(), "seconds": seconds, "devices": devices }));
        }
        Ok(())
    })
}
