import ArgumentParser
import Foundation
import Kernels
import Passes

#if MPI
  import Cluster
#endif

/// A command whose work several processes can share.
protocol SharedCommand: ParsableCommand {}

/// The processes that run this command together.
enum ProcessJob {
  /// How long a failed process waits for rank 0 to fail for the same reason, in seconds.
  private static let patience: UInt32 = 3
  nonisolated(unsafe) private static var current: (any ProcessGroup)?
  nonisolated(unsafe) private static var threadsPerProcess: Int?
  private static let launch = Launch()

  /// The group of this process.
  static var group: any ProcessGroup { unsafe current ?? SingleProcess() }

  /// Whether this process prints and writes files.
  static var isFirst: Bool { launch.rank == 0 }

  /// The number of threads by default when a machine runs several processes; nil for all cores.
  static var threads: Int? { unsafe threadsPerProcess }

  /// The name of the MPI library; nil in a program that was built without MPI.
  static var library: String? {
    #if MPI
      MPIGroup.libraryVersion
    #else
      nil
    #endif
  }

  /// Connects the processes; does nothing in a process that was started alone.
  ///
  /// - Throws: `PassError.usage` when several processes cannot run the command.
  static func begin(_ command: any ParsableCommand) throws {
    guard launch.count > 1 else { return }
    guard command is any SharedCommand else {
      let name = type(of: command)._commandName
      throw PassError.usage("'\(name)' is the work of one process; \(launch.count) were started, take one")
    }
    #if MPI
      let group = try MPIGroup()
      guard group.count == launch.count else {
        throw PassError.usage(
          "\(launch.count) processes were started, but MPI knows of \(group.count); start them with mpirun, or "
            + "with srun --mpi=pmix")
      }
      unsafe current = group
      unsafe threadsPerProcess = group.threads
    #else
      throw PassError.usage(
        "\(launch.count) processes were started, but this program was built without MPI; start one, or build it "
          + "with 'swift build -c release --traits MPI'")
    #endif
  }

  /// Checks that all processes were given the same command line and read the same files.
  ///
  /// - Throws: `PassError.usage` when one differs.
  static func requireAgreement(reading paths: [String]) throws {
    let request = CommandLine.arguments.dropFirst().joined(separator: "\0")
    try group.requireAgreement(version: Rilq.version, request: request, paths: paths)
  }

  /// Waits for all processes at the end of a command.
  static func finish() {
    #if MPI
      (group as? MPIGroup)?.finish()
    #endif
  }

  /// Ends all processes because of an error, and prints its line once.
  ///
  /// The first rank prints at once. Another rank prints only when the first one has not failed, too.
  static func fail(_ line: String, exitCode: Int32) -> Never {
    guard unsafe current != nil else {
      // Before the processes are connected, all of them fail for the same reason.
      if isFirst { Terminal.writeError(line) }
      Foundation.exit(isFirst ? exitCode : 0)
    }
    if !isFirst { sleep(patience) }
    Terminal.writeError(isFirst ? line : "rank \(launch.rank): \(line)")
    #if MPI
      (group as? MPIGroup)?.abort(exitCode)
    #endif
    Foundation.exit(exitCode)
  }
}

#if MPI
  extension MPIGroup {
    /// The threads of this process by default: its share of the machine's cores, or as many as it is bound to.
    fileprivate var threads: Int {
      max(1, min(usableCoreCount, ThreadLimit.current / localCount))
    }
  }
#endif
