import Kernels

/// The matrix products of a pass, as floating-point operations: two for each multiplication and its addition.
public struct WorkEstimate: Sendable, Equatable {
  /// The operations whose operands are f32.
  public var f32 = 0.0
  /// The operations whose operands are rounded to bf16, where the processor is faster with it.
  public var bf16 = 0.0

  /// No products.
  public init() {}

  /// Products of one kind.
  init(_ operations: Double, _ operands: ProductOperands) {
    switch operands {
    case .f32: f32 = operations
    case .bf16: bf16 = operations
    }
  }

  static func + (a: WorkEstimate, b: WorkEstimate) -> WorkEstimate {
    var sum = a
    sum.f32 += b.f32
    sum.bf16 += b.bf16
    return sum
  }
}

/// The speed of matrix products on all threads, in floating-point operations per second.
public struct ProductSpeed: Sendable {
  /// The share of a run's time that its products take; 0.6 to 0.84 in the profiles of calibrations, layerwise
  /// quantization and evaluation.
  private static let share = 0.7
  /// The speed with operands of f32.
  public let f32: Double
  /// The speed with operands that may be rounded to bf16.
  public let bf16: Double

  /// States the speeds.
  public init(f32: Double, bf16: Double) {
    self.f32 = f32
    self.bf16 = bf16
  }

  /// Measures the kernels that this processor uses, for about a second.
  public static func measured() -> ProductSpeed {
    let kernels = [ProductOperands.f32, .bf16].map(ProductBackend.best)
    let f32 = 1e9 * KernelSpeed.product(kernels[0])
    return ProductSpeed(
      f32: f32, bf16: kernels[0] == kernels[1] ? f32 : 1e9 * KernelSpeed.product(kernels[1]))
  }

  /// Returns about how long a run with these products takes, in seconds.
  public func seconds(_ work: WorkEstimate) -> Double { (work.f32 / f32 + work.bf16 / bf16) / Self.share }
}
