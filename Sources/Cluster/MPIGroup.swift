#if MPI
  internal import CMPI
  public import Kernels

  /// The processes that `mpirun` or `srun` started, connected by MPI.
  ///
  /// Only one thread at a time may use the group.
  public final class MPIGroup: ProcessGroup {
    /// The number of this process in the world communicator.
    public let rank: Int
    /// The size of the world communicator.
    public let count: Int
    /// The number of ranks on this machine.
    public let localCount: Int

    /// Connects this process with the others; at most once in a program.
    ///
    /// - Throws: `MPIError` when the library cannot start.
    public init() throws {
      var (rank, count, localCount): (Int32, Int32, Int32) = (0, 1, 1)
      try MPIError.check("MPI_Init", unsafe cmpi_init(&rank, &count, &localCount))
      (self.rank, self.count, self.localCount) = (Int(rank), Int(count), Int(localCount))
    }

    /// Sends a message, and returns when the library has taken it.
    public func send(_ message: [UInt8], to rank: Int) throws {
      let code = unsafe message.withUnsafeBytes { bytes in
        unsafe cmpi_send(bytes.baseAddress, Self.size(bytes.count), Int32(rank))
      }
      try MPIError.check("sending to rank \(rank)", code)
    }

    /// Waits for a message.
    public func receive(_ byteCount: Int, from rank: Int) throws -> [UInt8] {
      var code: Int32 = 0
      let message = unsafe [UInt8](unsafeUninitializedCapacity: byteCount) { bytes, count in
        unsafe code = cmpi_receive(bytes.baseAddress, Self.size(byteCount), Int32(rank))
        count = byteCount
      }
      try MPIError.check("receiving from rank \(rank)", code)
      return message
    }

    /// Gives a message of one rank to all others.
    public func broadcast(_ message: inout [UInt8], from rank: Int) throws {
      let code = unsafe message.withUnsafeMutableBytes { bytes in
        unsafe cmpi_broadcast(bytes.baseAddress, Self.size(bytes.count), Int32(rank))
      }
      try MPIError.check("the broadcast of rank \(rank)", code)
    }

    private static func size(_ byteCount: Int) -> Int32 {
      precondition(byteCount <= ProcessMessage.byteLimit, "a message of \(byteCount) bytes")
      return Int32(byteCount)
    }

    /// The number of cores that this process is bound to.
    public var usableCoreCount: Int { max(1, Int(cmpi_core_count())) }

    /// Waits for all ranks and disconnects; nothing may be sent afterwards.
    public func finish() { _ = cmpi_finish() }

    /// Ends all ranks.
    ///
    /// - Parameter exitCode: The exit code of `mpirun`.
    public func abort(_ exitCode: Int32) { cmpi_abort(exitCode) }

    /// The name and version of the MPI library.
    public static var libraryVersion: String {
      let text = unsafe MPIError.text { unsafe cmpi_library_version($0) }
      return String(text.prefix { $0 != "," })
    }
  }

  /// A failure of the communication between ranks.
  public struct MPIError: Error, CustomStringConvertible {
    /// What failed, and why.
    public let description: String

    fileprivate static func check(_ what: String, _ code: Int32) throws {
      guard code != MPI_SUCCESS else { return }
      let reason = unsafe text { unsafe cmpi_error_text(code, $0) }
      throw MPIError(description: "MPI: \(what): \(reason)")
    }

    fileprivate static func text(_ write: (UnsafeMutablePointer<CChar>) -> Void) -> String {
      unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(CMPI_TEXT_SIZE)) { text in
        guard let start = text.baseAddress else { return "" }
        unsafe start.pointee = 0
        unsafe write(start)
        return unsafe String(cString: start)
      }
    }
  }
#endif
