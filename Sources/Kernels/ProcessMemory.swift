internal import CKernels
import Foundation

/// The memory of this process.
public enum ProcessMemory {
  /// Keeps freed memory for later intermediate results instead of returning it to the system.
  ///
  /// A setting of the whole process, made once at start. Without it, every large result is mapped anew, and
  /// its pages are cleared.
  public static func keepFreedMemory() { ck_keep_freed_memory() }

  /// The memory of the machine, in bytes.
  public static var machineByteCount: Int { sysconf(Int32(_SC_PHYS_PAGES)) * sysconf(Int32(_SC_PAGESIZE)) }

  /// The maximum memory that was resident at once, mapped files included, in bytes.
  public static var peakByteCount: Int { ck_peak_memory() }
}
