//! What the operating system knows of this process; zero where it is not Linux.

/// This process.
pub struct Process;

impl Process {
    /// CPU seconds of all threads so far.
    pub fn cpu_seconds() -> f64 {
        let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        // Clock ticks are hundredths of a second on every Linux; user and system time.
        let ticks = |place: usize| fields.get(place).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
        (ticks(11) + ticks(12)) / 100.0
    }

    /// The greatest resident memory since the start, or since it was forgotten.
    pub fn peak_megabytes() -> f64 {
        let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        line.and_then(|line| line.trim_end_matches("kB").trim().parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
    }

    /// Lets the peak begin anew.
    pub fn forget_peak() {
        // Where this is not allowed, the peak is that of everything so far.
        let _ = std::fs::write("/proc/self/clear_refs", "5");
    }
}
