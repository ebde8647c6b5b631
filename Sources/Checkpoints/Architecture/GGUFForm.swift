/// How a GGUF file holds a tensor, where that differs from the checkpoint.
package struct GGUFForm: Sendable, Equatable {
  /// The values in the file.
  package enum Values: Sendable, Equatable {
    /// Those of the checkpoint.
    case stored
    /// `-exp(x)` for each value `x` of the checkpoint.
    case negativeExponential
  }

  /// The ending of the name: `.weight`, `.bias`, or nothing.
  package var ending = ModuleTensor.weight.rawValue
  /// The place among the tensors that the file has stacked as one; nil for a tensor of its own.
  package var stackIndex: Int?
  /// The values.
  package var values = Values.stored
  /// The heads along the rows that have another order; nil without such heads.
  package var rowTiling: HeadTiling?
  /// The heads along the columns that have another order; nil without such heads.
  package var columnTiling: HeadTiling?

  /// The form of most tensors.
  package init() {}
}

/// Heads in groups, of which a file has the first heads of all groups, then the second ones, and so on.
///
/// A checkpoint has the heads of a group together.
package struct HeadTiling: Sendable, Equatable {
  /// The number of rows or columns before the first head, which keep their places.
  package let start: Int
  /// The number of groups.
  package let groupCount: Int
  /// The number of heads of a group.
  package let headsPerGroup: Int
  /// The number of rows or columns of a head.
  package let headSize: Int

  /// Describes the heads.
  package init(start: Int, groupCount: Int, headsPerGroup: Int, headSize: Int) {
    self.start = start
    self.groupCount = groupCount
    self.headsPerGroup = headsPerGroup
    self.headSize = headSize
  }
}
