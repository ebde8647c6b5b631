import Foundation
import Kernels

// What the linear algebra of this project takes, and how exact it is: the peer of openblas.c, with the same
// matrices and the same lines.

/// What a case took: the time on the clock, and that of all processors together.
struct Timing {
  var wall: Double
  var cpu: Double

  static func now() -> Timing {
    func seconds(_ clock: clockid_t) -> Double {
      var time = timespec()
      clock_gettime(clock, &time)
      return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }
    return Timing(wall: seconds(CLOCK_MONOTONIC), cpu: seconds(CLOCK_PROCESS_CPUTIME_ID))
  }

  func faster(_ other: Timing) -> Timing { Timing(wall: min(wall, other.wall), cpu: min(cpu, other.cpu)) }
}

func timed<R>(_ body: () -> R) -> (result: R, timing: Timing) {
  let start = Timing.now()
  let result = body()
  let end = Timing.now()
  return (result, Timing(wall: end.wall - start.wall, cpu: end.cpu - start.cpu))
}

func randomMatrix(rows: Int, columns: Int) -> DoubleMatrix {
  var state: UInt64 = 1
  return DoubleMatrix(
    rows: rows, columns: columns,
    values: (0..<rows * columns).map { _ in
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Double(Int64(bitPattern: state) >> 11) * 0x1p-52
    })
}

/// `x · xᵀ / n + I / 100`, positive definite.
func moments(_ n: Int) -> DoubleMatrix {
  let x = randomMatrix(rows: n, columns: n)
  var h = x.times(x, .transposedRight)
  for i in h.values.indices { h.values[i] /= Double(n) }
  for i in 0..<n {
    for j in 0..<i { h.values[i * n + j] = h.values[j * n + i] }
    h.values[i * (n + 1)] += 0.01
  }
  return h
}

func hash<T>(_ values: [T]) -> UInt64 {
  values.withUnsafeBytes { bytes in
    bytes.reduce(14_695_981_039_346_656_037) { ($0 ^ UInt64($1)) &* 1_099_511_628_211 }
  }
}

func largest(_ values: [Double]) -> Double { values.reduce(0) { max($0, abs($1)) } }

func difference(_ a: [Double], _ b: [Double]) -> Double {
  zip(a, b).reduce(0) { max($0, abs($1.0 - $1.1)) } / largest(b)
}

func report(_ name: String, _ n: Int, _ timing: Timing, _ residual: Double, _ bits: UInt64) {
  let name = name.padding(toLength: 26, withPad: " ", startingAt: 0)
  let line =
    String(
      format: "%@ %6d %3d %10.4f %10.4f %9.1e %016llx", name, n, ThreadLimit.current, timing.wall, timing.cpu,
      residual, bits)
  FileHandle.standardOutput.write(Data((line + "\n").utf8))
}

func products(_ n: Int) {
  let a = randomMatrix(rows: n, columns: 512)
  let x = Matrix(rows: n, columns: 512, values: a.values.map { Float($0) })
  var (c, y) = (DoubleMatrix(rows: n, columns: n), Matrix(rows: n, columns: n))
  var best = [Timing(wall: 1e9, cpu: 1e9), Timing(wall: 1e9, cpu: 1e9)]
  for _ in 0..<3 {
    best[0] = timed { c = a.times(a, .transposedRight) }.timing.faster(best[0])
    best[1] = timed {
      var target = y.mutableView
      parallelRows(of: &target, rowsPerChunk: 96) { rows, part in
        multiply(x.view[rows: rows], x.view.transposed, into: &part)
      }
    }.timing.faster(best[1])
  }
  report("product f64", n, best[0], 0, hash(c.values))
  let error = zip(y.values, c.values).reduce(0) { max($0, abs(Double($1.0) - $1.1)) }
  report("product f32", n, best[1], error / largest(c.values), hash(y.values))
}

func factors(_ n: Int) {
  let h = moments(n)
  let (factor, timing) = timed { choleskyFactor(of: h.values, order: n) }
  guard let factor else { return print("Cholesky FAILED") }
  let l = DoubleMatrix(rows: n, columns: n, values: factor)
  let product = l.times(l, .transposedRight)
  report("Cholesky", n, timing, difference(product.values, h.values), hash(factor))
  let (both, bothTiming) = timed { choleskyFactors(of: h.values, order: n) }
  guard let both else { return print("triangular inverse FAILED") }
  let inverse = DoubleMatrix(rows: n, columns: n, values: both.inverse)
  var identity = l.times(inverse)
  for i in 0..<n { identity.values[i * (n + 1)] -= 1 }
  let rest = Timing(wall: bothTiming.wall - timing.wall, cpu: bothTiming.cpu - timing.cpu)
  report("triangular inverse", n, rest, largest(identity.values), hash(both.inverse))
}

func eigen(_ n: Int, _ count: Int) {
  let h = moments(n)
  let ((values, vectors), timing) = timed { () -> ([Double], DoubleMatrix) in
    guard let eigen = try? SymmetricEigen(h), let vectors = try? eigen.vectors(count) else {
      return ([], DoubleMatrix(rows: 0, columns: n))
    }
    return (eigen.values, vectors)
  }
  guard !values.isEmpty else { return print("eigen FAILED") }
  var images = vectors.times(h)
  for i in 0..<count {
    for j in vectors.row(i) { images.values[j] -= values[i] * vectors.values[j] }
  }
  var identity = vectors.times(vectors, .transposedRight)
  for i in 0..<count { identity.values[i * (count + 1)] -= 1 }
  let residual = max(largest(images.values) / values[0], largest(identity.values))
  report("eigen, \(count) vectors", n, timing, residual, hash(vectors.values))
}

let numbers = CommandLine.arguments.dropFirst().compactMap { Int($0) }
guard let threads = numbers.first, numbers.count > 1 else {
  print("usage: rilq-linear-algebra THREADS ORDER...")
  exit(64)
}
print("# rilq, kernel \(ProductBackend.best(for: .f32)), \(threads) threads")
ThreadLimit.current = threads
for n in numbers.dropFirst() {
  products(n)
  factors(n)
  if n <= 4096 { eigen(n, 64) }
}
