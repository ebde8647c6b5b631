public import Checkpoints

/// What a pass will do, and how its work begins.
public struct PassPlan: Sendable {
  /// Tensors that go, and those that come in their place.
  public struct Replacement: Sendable {
    /// The module or tensor that the change is reported for.
    public let module: String
    /// What is done, as a phrase: `2 bits, groups of 64`.
    public let action: String
    /// The tensors that are no longer in the result as they were.
    public let sources: [TensorInfo]
    /// The tensors that the run makes, also those that keep their names.
    public let outputs: [TensorInfo]
    /// The bytes that are reported as the size before; 0 when something is added.
    public let bytesBefore: Int
    /// The bytes that are reported as the size after; 0 when something is dropped.
    public let bytesAfter: Int
  }

  /// Begins the work on the checkpoint that was planned for, which now has its bytes.
  public typealias Begin = @Sendable (Checkpoint, PassContext) throws -> any PassRun
  /// Plans again with what only values can tell; nil when the plan stays.
  public typealias Refine = @Sendable (Checkpoint, PassContext) throws -> PassPlan?

  /// What the result will hold.
  public var contents: CheckpointContents
  /// The work, in the order it is reported.
  public let replacements: [Replacement]
  /// An estimate of the memory the pass needs beside mapped files, in bytes.
  public let memory: Int
  /// The files that are not weights and get other contents, by their names.
  public var assets: [String: TensorBytes] = [:]
  /// Called when the turn of the pass has come, before `begin`; nil when headers tell everything.
  public var refine: Refine?
  let begin: Begin

  /// A plan that changes nothing.
  ///
  /// - Parameters:
  ///   - input: The checkpoint that stays as it is.
  ///   - begin: Begins the work.
  public init(unchanged input: Checkpoint, begin: @escaping Begin) {
    self.init(contents: input.contents, replacements: [], memory: 0, begin: begin)
  }

  init(
    contents: CheckpointContents, replacements: [Replacement], memory: Int, begin: @escaping Begin
  ) {
    self.contents = contents
    self.replacements = replacements
    self.memory = memory
    self.begin = begin
  }
}

extension CheckpointContents {
  /// Whether both describe the same weights; files that are not weights and metadata may differ.
  func hasSameWeights(as other: CheckpointContents) -> Bool {
    tensors == other.tensors && quantization == other.quantization && adapter == other.adapter
  }
}
