/* Counts the guest's instructions, for QEMU's TCG.
 *
 * A client connects to the Unix socket that `socket=PATH` names, sends one byte and reads to the
 * end: `t` the sum, `b` a line for each translation block that has run: its number, which stays
 * the same, how often it began, its address, and its instructions' lengths as hexadecimal digits.
 *
 * A block counts as a whole when it begins. One that an access to a device interrupts begins anew
 * under -icount, which counts a few instructions twice. Under -icount `rep movs` is an instruction
 * for each iteration, else one.
 *
 * Distributions leave out QEMU's header: what is used of it is declared here. Interfaces 1 (QEMU
 * 4.2 to 8.2) and 2 (since 9.0) differ in where counters live; API says which it is.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Blocks that are told apart. Linux and its server have about 100,000. */
#define BLOCKS_MAX (1u << 20)
/* QEMU ends a block after so many instructions (TCG_MAX_INSNS). */
#define INSNS_MAX 512

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_plugin_scoreboard;
typedef struct {
    struct qemu_plugin_scoreboard *score;
    size_t offset;
} counter;

size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *);
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id,
                                           void (*)(plugin_id, struct qemu_plugin_tb *));

__attribute__((visibility("default"))) int qemu_plugin_version = API;

#define ADD_U64 0
#if API == 1
static uint64_t counts[BLOCKS_MAX];
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, int, void *, uint64_t);

static void count_begins(struct qemu_plugin_tb *tb, uint32_t block) {
    qemu_plugin_register_vcpu_tb_exec_inline(tb, ADD_U64, &counts[block], 1);
}

static uint64_t begins(uint32_t block) {
    return __atomic_load_n(&counts[block], __ATOMIC_RELAXED);
}
#else
static struct qemu_plugin_scoreboard *counts;
struct qemu_plugin_scoreboard *qemu_plugin_scoreboard_new(size_t);
uint64_t qemu_plugin_u64_sum(counter);
void qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(struct qemu_plugin_tb *, int, counter,
                                                       uint64_t);

static counter counter_of(uint32_t block) {
    return (counter){counts, (size_t)block * sizeof(uint64_t)};
}

static void count_begins(struct qemu_plugin_tb *tb, uint32_t block) {
    qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(tb, ADD_U64, counter_of(block), 1);
}

static uint64_t begins(uint32_t block) {
    return qemu_plugin_u64_sum(counter_of(block));
}
#endif

struct block {
    uint64_t address;
    uint32_t insns;
    uint8_t *lengths;
};

static struct block blocks[BLOCKS_MAX];
/* Only the translator, under QEMU's lock, adds blocks; the socket's thread reads those below. */
static _Atomic uint32_t block_count;
/* Open addressing; an index plus one. A block is translated again after QEMU has emptied its
 * cache, and in variants. */
static uint32_t table[2 * BLOCKS_MAX];

static uint32_t slot_of(const struct block *wanted) {
    uint64_t hash = wanted->address * 0x9e3779b97f4a7c15u;
    for (uint32_t i = 0; i < wanted->insns; i++)
        hash = (hash ^ wanted->lengths[i]) * 0x100000001b3u;
    uint32_t slot = (hash >> 20) % (2 * BLOCKS_MAX);
    for (; table[slot]; slot = (slot + 1) % (2 * BLOCKS_MAX)) {
        const struct block *block = &blocks[table[slot] - 1];
        if (block->address == wanted->address && block->insns == wanted->insns &&
            memcmp(block->lengths, wanted->lengths, wanted->insns) == 0)
            break;
    }
    return slot;
}

static void translated(plugin_id id, struct qemu_plugin_tb *tb) {
    (void)id;
    uint8_t lengths[INSNS_MAX];
    struct block block = {qemu_plugin_tb_vaddr(tb), qemu_plugin_tb_n_insns(tb), lengths};
    if (block.insns > INSNS_MAX)
        abort();
    for (uint32_t i = 0; i < block.insns; i++)
        lengths[i] = qemu_plugin_insn_size(qemu_plugin_tb_get_insn(tb, i));
    uint32_t slot = slot_of(&block);
    if (!table[slot]) {
        uint32_t number = block_count;
        if (number == BLOCKS_MAX || !(block.lengths = malloc(block.insns + 1))) {
            fprintf(stderr, "count: too many blocks\n");
            abort();
        }
        memcpy(block.lengths, lengths, block.insns);
        blocks[number] = block;
        table[slot] = number + 1;
        block_count = number + 1;
    }
    count_begins(tb, table[slot] - 1);
}

static void print_sum(FILE *out) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < block_count; i++)
        sum += begins(i) * blocks[i].insns;
    fprintf(out, "%" PRIu64 "\n", sum);
}

static void print_blocks(FILE *out) {
    for (uint32_t i = 0; i < block_count; i++) {
        if (!begins(i))
            continue;
        fprintf(out, "%" PRIu32 " %" PRIu64 " %" PRIx64 " ", i, begins(i), blocks[i].address);
        for (uint32_t insn = 0; insn < blocks[i].insns; insn++)
            fprintf(out, "%x", blocks[i].lengths[insn]);
        fputc('\n', out);
    }
}

static void *answer(void *listener) {
    int client;
    while ((client = accept((int)(intptr_t)listener, NULL, NULL)) >= 0) {
        char question = 0;
        FILE *out = read(client, &question, 1) == 1 ? fdopen(client, "w") : NULL;
        if (!out) {
            close(client);
            continue;
        }
        if (question == 't')
            print_sum(out);
        else if (question == 'b')
            print_blocks(out);
        fclose(out);
    }
    return NULL;
}

static bool listen_on(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address.sun_path))
        return false;
    strcpy(address.sun_path, path);
    unlink(path);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    pthread_t thread;
    return listener >= 0 && !bind(listener, (struct sockaddr *)&address, sizeof(address)) &&
           !listen(listener, 1) &&
           !pthread_create(&thread, NULL, answer, (void *)(intptr_t)listener);
}

__attribute__((visibility("default"))) int qemu_plugin_install(plugin_id id, const void *info,
                                                               int argc, char **argv) {
    (void)info;
    if (argc != 1 || strncmp(argv[0], "socket=", 7) || !listen_on(argv[0] + 7)) {
        fprintf(stderr, "count: wants socket=PATH, a path that can be listened on\n");
        return -1;
    }
#if API > 1
    counts = qemu_plugin_scoreboard_new(BLOCKS_MAX * sizeof(uint64_t));
#endif
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    return 0;
}
