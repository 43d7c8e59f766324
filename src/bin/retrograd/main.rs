//! The program `retrograd`: what devices there are, whether they compute rightly, how fast they are, and what a plan does.

mod bench;
mod breakage;
mod cases;
mod devices;
mod explain;
mod failure;
mod guard;
mod networks;
mod optimizers;
mod output;
mod replay;
mod report;
mod select;
mod tune;
mod verify;
mod workloads;

use clap::{Args, Parser, Subcommand};
use output::Output;
use std::process::ExitCode;

/// Trains neural networks on any GPU that wgpu reaches: this program tells whether it does so rightly here.
///
/// `retrograd verify --device all --save report.json` is all that a bug report about a GPU needs.
///
/// A device is named by cpu, gpu (the best adapter), vulkan, metal, dx12, gl, or part of an adapter's name; without one it is
/// that of `RETROGRAD_DEVICE`, else the best. Exit codes: 0 all is well, 1 something failed, 2 bad arguments.
#[derive(Parser)]
#[command(name = "retrograd", version, max_term_width = 110)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Lists the devices of this machine, with their limits and features.
    Devices(devices::Options),
    /// Compares everything that a device computes with a reference in double precision.
    ///
    /// Every op, forward and gradient, for awkward shapes; every optimizer, weights and states; and whole training steps of
    /// small networks, dispatch by dispatch. Prints a table, with the worst error of each op as a share of what is allowed, as
    /// a relative error, and in units in the last place (ulps). Fails where anything is off; what a panic or a lost device
    /// ends is told, and the rest goes on. Takes some minutes.
    Verify(verify::Options),
    /// Times training steps and matrix products.
    ///
    /// w1 is a classifier of points in a spiral [2, 64, 64, 3]; w2 one of images [784, 512, 256, 10]; w3 a regression with
    /// three layers of 1,024; w4 a convolutional network; w5 a transformer of four blocks; w6 are matrix products; w7 is a
    /// chain of pointwise ops with its gradients. GFLOP/s and GB/s are of the operations and bytes that the plan names.
    Bench(bench::Options),
    /// Measures which kernels compute the matrix products of networks fastest, and keeps the choices in a file.
    ///
    /// A program takes them from there by `training.tune(&device, &params, file)`, and measures there what is missing.
    Tune(tune::Options),
    /// Prints the plan of a built-in network's training step: every dispatch, its memory, and why neighbours are apart.
    Explain(explain::Options),
    /// Runs a dispatch that diverged elsewhere, from its file, on a GPU of this machine.
    Replay(replay::Options),
}

/// Which device.
#[derive(Args)]
struct DeviceOption {
    /// cpu, gpu, vulkan, metal, dx12, gl, or part of an adapter's name
    #[arg(long, value_name = "NAME")]
    device: Option<String>,
}

fn main() -> ExitCode {
    // `--help` and what cannot be read end here, with code 2 for the latter.
    let arguments = Arguments::parse();
    // Cases infer what is recorded for training, on purpose.
    let level = if matches!(arguments.command, Command::Verify(_)) { "error" } else { "warn" };
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or(level)).init();
    let mut output = Output::stdout();
    let result = match arguments.command {
        Command::Devices(options) => devices::run(&options, &mut output),
        Command::Verify(options) => verify::run(&options, &mut output),
        Command::Bench(options) => bench::run(&options, &mut output),
        Command::Tune(options) => tune::run(&options, &mut output),
        Command::Explain(options) => explain::run(&options, &mut output),
        Command::Replay(options) => replay::run(&options, &mut output),
    };
    match result.and_then(|()| output.finish()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
