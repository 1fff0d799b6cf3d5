/* An LSTM step written by hand, for tools/bench to hold ours against: the modern cell (no peepholes)
 * and a linear head of one output, batch 1, float32, state carried.
 *
 * W is (K, 4n), K = m + n + 1 rows: inputs, last outputs, bias; columns i, f, z, o, n of each.
 * Sizes are frozen for the ones that are timed, so that the compiler knows every loop's length.
 * n is a multiple of 8. The product keeps 64 columns at a time in registers over all K rows. */
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define LARGEST 1024

typedef float lanes __attribute__((vector_size(64), aligned(4)));
enum { LANES = 16, AT_ONCE = 4 };

/* a[c .. c + wide * LANES] = u W, for those columns alone. */
INLINE void columns(const float *W, const float *u, float *a, int K, int R, int c, int wide)
{
    lanes sum[AT_ONCE] = {{0}};
    for (int k = 0; k < K; k++) {
        const lanes *row = (const lanes *)(W + (long)k * R + c);
        for (int b = 0; b < wide; b++)
            sum[b] += u[k] * row[b];
    }
    memcpy(a + c, sum, (unsigned)wide * sizeof(lanes));
}

INLINE void product(const float *W, const float *u, float *a, int K, int R)
{
    int c = 0;
    for (; c + AT_ONCE * LANES <= R; c += AT_ONCE * LANES)
        columns(W, u, a, K, R, c, AT_ONCE);
    for (; c < R; c += LANES)
        columns(W, u, a, K, R, c, 1);
}

/* The 13/6 rational tanh that Eigen and others use; its absolute error is 3.9e-7. */
INLINE float squash(float x)
{
    x = x < -7.90531110763549805f ? -7.90531110763549805f : x;
    x = x > 7.90531110763549805f ? 7.90531110763549805f : x;
    float s = x * x;
    float p = -2.76076847742355e-16f;
    p = p * s + 2.00018790482477e-13f;
    p = p * s + -8.60467152213735e-11f;
    p = p * s + 5.12229709037114e-08f;
    p = p * s + 1.48572235717979e-05f;
    p = p * s + 6.37261928875436e-04f;
    p = p * s + 4.89352455891786e-03f;
    float q = 1.19825839466702e-06f;
    q = q * s + 1.18534705686654e-04f;
    q = q * s + 2.26843463243900e-03f;
    q = q * s + 4.89352518554385e-03f;
    return x * p / q;
}

INLINE float logistic(float x)
{
    return 0.5f + 0.5f * squash(0.5f * x);
}

INLINE void cell(const float *restrict a, float *restrict c, float *restrict y, int n)
{
    for (int j = 0; j < n; j++) {
        float i = logistic(a[j]), f = logistic(a[n + j]);
        float z = squash(a[2 * n + j]), o = logistic(a[3 * n + j]);
        c[j] = f * c[j] + i * z;
        y[j] = o * squash(c[j]);
    }
}

INLINE float head(const float *V, const float *y, int n)
{
    float sum[8] = {0};
    for (int j = 0; j < n; j += 8)
        for (int k = 0; k < 8; k++)
            sum[k] += V[j + k] * y[j + k];
    return V[n] + ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
}

/* V: (n + 1) the head's weights and bias; c, y: (n) the state; X (rows, m) to Y (rows). */
INLINE void steps(const float *W, const float *V, float *c, float *y, const float *X, float *Y,
                  long rows, int m, int n)
{
    float u[LARGEST] __attribute__((aligned(64))), a[4 * LARGEST] __attribute__((aligned(64)));
    u[m + n] = 1.0f;
    for (long t = 0; t < rows; t++) {
        memcpy(u, X + t * m, (unsigned)m * sizeof(float));
        memcpy(u + m, y, (unsigned)n * sizeof(float));
        product(W, u, a, m + n + 1, 4 * n);
        cell(a, c, y, n);
        Y[t] = head(V, y, n);
    }
}

INLINE void products(const float *W, float *u, float *a, long times, int K, int R)
{
    for (long t = 0; t < times; t++) {
        product(W, u, a, K, R);
        __asm__ volatile("" : : "r"(u), "r"(a) : "memory"); /* every product is made */
    }
}

#define FOR_EACH_SIZE(call) \
    if (m == 8 && n == 8) call(8, 8); \
    else if (m == 8 && n == 16) call(8, 16); \
    else if (m == 8 && n == 32) call(8, 32); \
    else if (m == 8 && n == 64) call(8, 64); \
    else if (m == 8 && n == 128) call(8, 128); \
    else if (m == 8 && n == 256) call(8, 256); \
    else call(m, n);

void lstm_run(const float *W, const float *V, float *c, float *y, const float *X, float *Y,
              long rows, int m, int n)
{
#define CALL(m, n) steps(W, V, c, y, X, Y, rows, m, n)
    FOR_EACH_SIZE(CALL)
#undef CALL
}

void matvec_run(const float *W, float *u, float *a, long times, int m, int n)
{
#define CALL(m, n) products(W, u, a, times, m + n + 1, 4 * n)
    FOR_EACH_SIZE(CALL)
#undef CALL
}
