/* Calls the entry "network.run" of float32 over arrays that a file brings; writes the answers.
 *
 * The file: how many arrays, then for each its bytes, its row length and itself; the last two are
 * the samples and room for the answers, which belong to the call, the others to the table.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int64_t rtlstm_network_run_float32_float32(int64_t table, int64_t X, int64_t Y, int64_t rows);

int main(int count, char **arguments)
{
    int64_t arrays, head[2], table[16];
    FILE *file = count > 1 ? fopen(arguments[1], "rb") : NULL;
    if (!file || fread(&arrays, 8, 1, file) != 1 || arrays > 8)
        return 2;
    for (int n = 0; n < arrays; n++) {
        if (fread(head, 8, 2, file) != 2)
            return 2;
        char *room = aligned_alloc(64, (head[0] + 63) / 64 * 64);
        if (fread(room, 1, head[0], file) != (size_t)head[0])
            return 2;
        table[2 * n] = (intptr_t)room;
        table[2 * n + 1] = head[1];
    }
    int last = arrays - 1, rows = arrays - 2;
    int64_t lines = head[0] / 4 / table[2 * last + 1];
    int64_t status = rtlstm_network_run_float32_float32(
        (intptr_t)table, table[2 * rows], table[2 * last], lines);
    fwrite((void *)(intptr_t)table[2 * last], 1, head[0], stdout);
    return status != 0;
}
