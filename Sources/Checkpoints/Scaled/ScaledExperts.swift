import Kernels

/// The matrices of all experts of a layer in MXFP4 as gpt-oss stores them, read as BF16, which holds every value.
struct ScaledExperts: ScaledTensor {
  /// The columns that share a scale, and the bytes of their codes.
  private static let blockSize = 32
  private static let blockByteCount = blockSize / 2

  /// `[experts, in, out]`.
  let tensor: TensorInfo
  /// `[experts, out, blocks, 16]`: two E2M1 to a byte, the first in its lower half.
  private let codes: TensorInfo
  /// `[experts, out, blocks]`, E8M0.
  private let scales: TensorInfo

  var parts: [TensorInfo] { [codes, scales] }
  var isExact: Bool { true }
  var hasParts: Bool { true }

  private var outputCount: Int { tensor.shape[2] }
  private var blockCount: Int { tensor.shape[1] / Self.blockSize }
  /// The elements of an expert.
  private var expertSize: Int { tensor.shape[1] * outputCount }

  /// Puts together codes and scales.
  ///
  /// - Parameters:
  ///   - name: The name of the tensor.
  ///   - codes: The codes.
  ///   - scales: The scales.
  ///   - path: The folder, for errors.
  /// - Throws: `FormatError` when their shapes do not fit each other.
  init(_ name: String, codes: TensorInfo, scales: TensorInfo, path: String) throws(FormatError) {
    let shape = codes.shape
    guard shape.count == 4, shape[3] == Self.blockByteCount, codes.elementCount > 0,
      let tensor = TensorInfo(
        checking: name, dtype: .bf16, shape: [shape[0], shape[2] * Self.blockSize, shape[1]])
    else {
      throw FormatError(
        path, at: "tensor '\(codes.name)'",
        .malformed("shape \(shape) is not experts, outputs, blocks and \(Self.blockByteCount) bytes"))
    }
    guard scales.dtype == .u8, scales.shape == Array(shape.dropLast()) else {
      throw FormatError(
        path, at: "tensor '\(scales.name)'",
        .malformed("is \(scales.dtype.rawValue) \(scales.shape), expected U8 \(Array(shape.dropLast()))"))
    }
    (self.tensor, self.codes, self.scales) = (tensor, codes, scales)
  }

  func part(
    _ elements: Range<Int>, from store: SafetensorsStore, path: String
  ) throws -> (start: Int, bytes: TensorBytes) {
    let experts = elements.lowerBound / expertSize..<(elements.upperBound + expertSize - 1) / expertSize
    var output = [UInt8](repeating: 0, count: experts.count * expertSize * 2)
    var span = output.mutableSpan
    let (codes, scales) = (try store.bytes(of: codes), try store.bytes(of: scales))
    if let index = scales.withSpan({ scales in
      let rows = outputCount * blockCount
      return (experts.lowerBound * rows..<experts.upperBound * rows).first { scales.byte(at: $0) == 255 }
    }) {
      throw FormatError(
        path, at: "tensor '\(self.scales.name)'", .malformed("value \(index) is not finite"))
    }
    codes.withSpan { codes in
      scales.withSpan { scales in
        // The rows of a block of columns are written by one thread.
        parallelRows(of: &span, columnCount: Self.blockSize * outputCount * 2, rowsPerChunk: 1) {
          rows, part in
          for row in rows {
            let (expert, block) = row.quotientAndRemainder(dividingBy: blockCount)
            write(block, ofExpert: experts.lowerBound + expert, codes, scales, into: &part)
          }
        }
      }
    }
    return (experts.lowerBound * expertSize, TensorBytes(output))
  }

  /// Writes `[32, out]`, a block of the inputs of an expert.
  private func write(
    _ block: Int, ofExpert expert: Int, _ codes: RawSpan, _ scales: RawSpan,
    into bytes: inout MutableSpan<UInt8>
  ) {
    let (numbers, powers) = (SmallFloat.e2M1.span, SmallFloat.e8M0.span)
    for output in 0..<outputCount {
      let index = (expert * outputCount + output) * blockCount + block
      let power = powers[Int(scales.byte(at: index))]
      for i in 0..<Self.blockSize {
        let code = codes.byte(at: index * Self.blockByteCount + i / 2) >> UInt8(i % 2 * 4) & 15
        // Two digits and a power of two: the upper half of the float has all of it.
        let bits = (numbers[Int(code)] * power).bitPattern >> 16
        let place = 2 * (i * outputCount + output)
        bytes[place] = UInt8(truncatingIfNeeded: bits)
        bytes[place + 1] = UInt8(truncatingIfNeeded: bits >> 8)
      }
    }
  }
}
