import Foundation
import TestSupport

/// The reader under test, named by `RILQ_FUZZ_TARGET`.
private let target: FuzzTarget = {
  let name = ProcessInfo.processInfo.environment["RILQ_FUZZ_TARGET"] ?? ""
  guard let target = FuzzTarget(rawValue: name) else {
    fatalError("RILQ_FUZZ_TARGET is '\(name)', expected one of \(FuzzTarget.allCases.map(\.rawValue))")
  }
  return target
}()

/// Tries one input of libFuzzer.
///
/// - Parameters:
///   - start: The first byte.
///   - count: The number of bytes.
@_cdecl("rilq_fuzz")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) {
  // libFuzzer keeps the bytes valid during the call.
  target.read(unsafe Array(UnsafeBufferPointer(start: start, count: count)))
}
