internal import COpenBLAS

/// The library below Cholesky factors, triangular inverses and eigenvectors.
package enum LinearAlgebra {
  /// What OpenBLAS says of itself: its version, how it was built, and the processor that it chose.
  package static var libraryVersion: String {
    guard let text = unsafe openblas_get_config() else { return "unknown" }
    return unsafe String(cString: text).split(separator: " ").dropFirst().joined(separator: " ")
  }
}
