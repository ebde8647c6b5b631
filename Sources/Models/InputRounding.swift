import Checkpoints
import Kernels

/// What the inputs of linears are rounded to before their products with weights.
///
/// Source: `quantize_row_q8_K_ref`, `quantize_row_q8_0_ref` and the `vec_dot_type` of each type in llama.cpp's
/// ggml. Its products of whole numbers are exact, so that products in f32 with rounded inputs are the same up to
/// the order of addition. In blocks of 256 both agree so; in blocks of 32 llama.cpp's results differ from these by up
/// to two fifths of what the rounding changes.
package enum InputRounding: String, Sendable, CaseIterable {
  /// Inputs are not rounded.
  case f32
  /// As llama.cpp does on a CPU: those of packed weights to 8 bits in blocks, those of 16-bit weights to the
  /// type of the weights.
  case int8
}

extension LinearGroup {
  /// Returns the input of each linear, rounded as `inputRounding` says and packed for its products.
  ///
  /// - Parameter x: `[tokens, in]`.
  /// - Returns: One operand for each linear.
  func productInputs(_ x: Matrix) -> [LeftOperand] {
    guard inputRounding == .int8 else {
      let input = LeftOperand(x.view, for: operands)
      return linears.map { _ in input }
    }
    var known: [InputType: LeftOperand] = [:]
    return linears.map { linear in
      let type = InputType(of: linear.weight)
      if let input = known[type] { return input }
      let input = LeftOperand(type.rounded(x).view, for: operands)
      known[type] = input
      return input
    }
  }
}

/// The type that llama.cpp rounds the input of a weight to.
private enum InputType: Hashable {
  /// Whole numbers from -127 to 127 times a scale for each block; the last block may be shorter.
  case blocks(size: Int, scale: FloatFormat)
  case floats(FloatFormat)

  init(of weight: Weight) {
    switch weight.values {
    case .dense(_, let format): self = .floats(format)
    // Q8_K for blocks of 256; Q8_0 and Q8_1 for blocks of 32.
    case .packed(let packed):
      self =
        packed.blocks == nil
        ? .blocks(size: 32, scale: .f16) : .blocks(size: SuperBlock.columnCount, scale: .f32)
    }
  }

  func rounded(_ x: Matrix) -> Matrix {
    if self == .floats(.f32) { return x }
    var result = x
    let width = x.columnCount
    var values = result.values.mutableSpan
    parallelRows(of: &values, columnCount: width, rowsPerChunk: 16) { _, part in
      switch self {
      case .floats(let format): part.round(to: format)
      case .blocks(let size, let format):
        for row in stride(from: 0, to: part.count, by: max(width, 1)) {
          for start in stride(from: row, to: row + width, by: size) {
            part.roundToInt8(start..<min(start + size, row + width), scale: format)
          }
        }
      }
    }
    return result
  }
}

extension MutableSpan<Float> {
  fileprivate mutating func round(to format: FloatFormat) {
    var bytes = [UInt8](repeating: 0, count: count * format.byteWidth)
    var target = bytes.mutableSpan
    narrow(span, to: format, into: &target)
    let rounded = widened(bytes, from: format)
    for i in indices { self[i] = rounded[i] }
  }

  /// Rounds a block to whole numbers times a scale, the largest size by 127.
  ///
  /// A value that is not a number stays one; beside an infinite one, all of them become so.
  fileprivate mutating func roundToInt8(_ block: Range<Int>, scale format: FloatFormat) {
    let largest = block.reduce(Float(0)) { Swift.max($0, self[$1].magnitude) }
    guard largest > 0 else { return }
    let factor = 127 / largest
    let scale = format == .f32 ? 1 / factor : widened(narrowed([largest / 127], to: format), from: format)[0]
    for i in block { self[i] = scale * (self[i] * factor).rounded(.toNearestOrEven) }
  }
}
