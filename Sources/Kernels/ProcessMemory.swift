#if canImport(Glibc)
  import Glibc
#endif

/// The memory of this process.
public enum ProcessMemory {
  /// The most memory that was resident at once, mapped files included, in bytes.
  public static var peakByteCount: Int {
    var usage = rusage()
    guard unsafe getrusage(RUSAGE_SELF.rawValue, &usage) == 0 else { return 0 }
    return usage.ru_maxrss * 1024
  }
}
