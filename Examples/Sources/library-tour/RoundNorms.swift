import Checkpoints
import Passes

/// A pass of one's own: it stores the norms in another dtype, and scales them if that is asked for.
struct RoundNorms: Pass {
  struct Options: PassOptionValues {
    /// The dtype of the norms.
    var dtype = DType.bf16
    /// What every norm is multiplied with.
    var factor = 1.0

    init() {}

    static var declarations: [PassOption<Self>] {
      [
        Option("dtype", \.dtype, .floatType, "dtype of the norms"),
        Option("factor", \.factor, .number(.above(0)), "factor of every norm"),
      ]
    }
  }

  struct Report: PassReport {
    let norms: Int
    var items: [ReportItem] { [ReportItem("norms", .integer(norms))] }
  }

  private struct Run: PassRun {
    let factor: Float
    let input: Checkpoint
    var norms = 0

    mutating func make(_ replacement: PassPlan.Replacement) throws -> [TensorBytes] {
      norms += 1
      let values = try input.floats(of: replacement.module).map { $0 * factor }
      return [TensorBytes(floats: values, as: replacement.outputs[0].dtype)]
    }

    mutating func finish() throws -> any PassReport { Report(norms: norms) }
  }

  static let name = "round_norms"
  static let summary = "Store norms in another dtype."
  var options: Options

  init(_ options: Options) { self.options = options }

  func plan(_ input: Checkpoint) throws -> PassPlan {
    var editor = PlanEditor(input)
    for norm in input.contents.tensors where norm.name.hasSuffix("norm.weight") {
      guard let stored = TensorInfo(checking: norm.name, dtype: options.dtype, shape: norm.shape) else {
        continue
      }
      editor.replace(
        [norm.name], with: [stored], module: norm.name, action: "stored as \(options.dtype.rawValue)")
    }
    return editor.plan(memory: 0) { [factor = Float(options.factor)] input, _ in
      Run(factor: factor, input: input)
    }
  }
}
