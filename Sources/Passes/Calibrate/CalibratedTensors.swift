import Checkpoints
import Kernels
import Models

/// Runs the calibration, then returns the trained tensors.
struct CalibratedTensors: PassRun {
  private let input: Checkpoint
  private let report: CalibrationReport
  private let linears: [String: Linear]

  /// Runs a calibration.
  init(_ run: consuming CalibrationRun, _ input: Checkpoint) throws {
    var run = run
    self.input = input
    report = try run.train()
    linears = Dictionary(
      run.student.layerLinears.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
  }

  mutating func make(_ replacement: PassPlan.Replacement) throws -> [TensorBytes] {
    try replacement.outputs.map { tensor in
      guard let (module, part) = ModuleTensor.split(tensor.name), let linear = linears[module],
        let bytes = try bytes(of: part, linear)
      else { return try input.bytes(of: tensor.name) }
      return bytes
    }
  }

  mutating func finish() throws -> any PassReport { report }

  /// Returns the new bytes of a part of a linear; nil when the linear has no such part.
  private func bytes(of part: ModuleTensor, _ linear: Linear) throws -> TensorBytes? {
    let values: [Float]?
    switch part {
    case .weight: return linear.weight.packed?.codes
    case .blockFactorsDelta:
      values = try change(.blockFactors, of: linear.name, to: linear.weight.packed?.blocks?.factors)
    case .loraA: values = linear.adapter?.loraA.values
    case .loraB: values = linear.adapter?.loraB.values
    case .scalesDelta: values = try change(.scales, of: linear.name, to: linear.weight.packed?.scales)
    case .biasesDelta: values = try change(.biases, of: linear.name, to: linear.weight.packed?.biases)
    default: return nil
    }
    return values.map { TensorBytes(narrowed($0, to: .f32)) }
  }

  /// Returns the difference between a table's new values and those in the file.
  private func change(_ table: ModuleTensor, of module: String, to new: [Float]?) throws -> [Float]? {
    let name = table.name(of: module)
    guard let new, let format = input.tensor(named: name).flatMap({ FloatFormat($0.dtype) }) else {
      return nil
    }
    let base = try input.bytes(of: name).withSpan { widened($0, from: format) }
    return zip(new, base).map { $0 - $1 }
  }
}
