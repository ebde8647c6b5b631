public import Checkpoints

/// The work of a pass on a checkpoint, and a closure that begins it.
public struct PassPlan: Sendable {
  /// Tensors that are removed, and the tensors that replace them.
  public struct Replacement: Sendable {
    /// The module or tensor that the change is reported under.
    public let module: String
    /// The change as a phrase: `2 bits, groups of 64`.
    public let action: String
    /// The tensors that the change removes or rewrites.
    public let sources: [TensorInfo]
    /// The tensors that the run makes, including those that keep their names.
    public let outputs: [TensorInfo]
    /// The reported size before, in bytes; 0 when a tensor is added.
    public let bytesBefore: Int
    /// The reported size after, in bytes; 0 when a tensor is dropped.
    public let bytesAfter: Int
  }

  /// Begins the work on the planned checkpoint, which now has its bytes.
  public typealias Begin = @Sendable (Checkpoint, PassContext) throws -> any PassRun
  /// Plans again with the values of the tensors; returns nil when the plan stays.
  public typealias Refine = @Sendable (Checkpoint, PassContext) throws -> PassPlan?

  /// The contents of the result.
  public var contents: CheckpointContents
  /// The changes, in the order they are reported.
  public let replacements: [Replacement]
  /// The estimated memory of the pass in addition to mapped files, in bytes.
  public let memory: Int
  /// The matrix products of the pass, without those of windows that the original model writes for it.
  public var work = WorkEstimate()
  /// The new contents of files that are not weights, by name.
  public var assets: [String: TensorBytes] = [:]
  /// Whether the plan is for the checkpoint with the linears of its experts apart.
  public var separatesExperts = false
  /// Called before `begin`, when the earlier passes are done; nil when headers are enough for the plan.
  public var refine: Refine?
  /// Why several processes cannot do the work together; nil when they can.
  var onlyAlone: String?
  let begin: Begin

  /// Creates a plan that changes nothing.
  ///
  /// - Parameters:
  ///   - input: The checkpoint.
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

extension PassPlan {
  /// The checkpoint that the pass reads and copies from.
  ///
  /// - Throws: `FormatError` when a tensor of all experts has another shape than the configuration says.
  func source(_ input: Checkpoint) throws -> Checkpoint {
    separatesExperts ? try input.separatingExperts() : input
  }
}

extension CheckpointContents {
  /// Whether both describe the same weights; other files and metadata can differ.
  func hasSameWeights(as other: CheckpointContents) -> Bool {
    tensors == other.tensors && quantization == other.quantization && adapter == other.adapter
  }
}
