package import Kernels
package import Models

extension Linear {
  /// Returns the weight with its adapter as doubles, `[out, in]`.
  ///
  /// - Throws: `PassError.notFinite` with the first element that is NaN or infinite.
  package func foldedDoubles() throws -> DoubleMatrix {
    let folded = foldedWeight
    guard let index = folded.values.firstIndex(where: { !$0.isFinite }) else { return DoubleMatrix(folded) }
    throw PassError.notFinite(tensor: name + ".weight", index: index)
  }
}
