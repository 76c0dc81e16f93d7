# Shapes that compilers of today seldom make, by hand. Assembled by clang (.seh_startchained).
    .text
    .globl ___chkstk_ms
    .def ___chkstk_ms; .scl 2; .type 32; .endef
___chkstk_ms:                         # touches rax bytes below; preserves all; a leaf that pushes
    .seh_proc ___chkstk_ms
    pushq %rcx
    .seh_pushreg %rcx
    pushq %rax
    .seh_pushreg %rax
    .seh_endprologue
    leaq 24(%rsp), %rcx
1:  cmpq $4096, %rax
    jb 2f
    subq $4096, %rcx
    orq $0, (%rcx)
    subq $4096, %rax
    jmp 1b
2:  subq %rax, %rcx
    orq $0, (%rcx)
    popq %rax
    popq %rcx
    ret
    .seh_endproc

    .globl asm_halt
    .def asm_halt; .scl 2; .type 32; .endef
asm_halt:                             # ends the run
    ud2

leaf_thunk:                           # no unwind information at all
    leaq (%rcx,%rdx,2), %rax
    addq $3, %rax
    ret

    .macro function name
    .globl \name
    .def \name; .scl 2; .type 32; .endef
    .section .drectve,"yn"
    .ascii " /EXPORT:\name"
    .text
    .p2align 4
\name:
    .seh_proc \name
    .endm

function asm_home_saves               # MSVC's habit: registers into the home space, then alloc
    movq %rbx, 8(%rsp)
    movq %rsi, 16(%rsp)
    pushq %rdi
    .seh_pushreg %rdi
    subq $0x20, %rsp
    .seh_stackalloc 0x20
    .seh_savereg %rbx, 0x30
    .seh_savereg %rsi, 0x38
    .seh_endprologue
    movq %rcx, %rbx
    movq %rdx, %rsi
    xorl %edi, %edi
    callq leaf_thunk
    addq %rax, %rdi
    movq 0x30(%rsp), %rbx
    movq 0x38(%rsp), %rsi
    addq $0x20, %rsp
    popq %rdi
    ret
    .seh_endproc

function asm_frame_lea                # frame register with an offset; epilog by lea
    pushq %rbp
    .seh_pushreg %rbp
    pushq %r15
    .seh_pushreg %r15
    subq $0x78, %rsp
    .seh_stackalloc 0x78
    leaq 0x40(%rsp), %rbp
    .seh_setframe %rbp, 0x40
    movaps %xmm7, -0x10(%rbp)
    .seh_savexmm %xmm7, 0x30
    movaps %xmm12, 0x0(%rbp)
    .seh_savexmm %xmm12, 0x40
    .seh_endprologue
    movq %rcx, %r15
    subq $0x50, %rsp
    pxor %xmm7, %xmm7
    pcmpeqd %xmm12, %xmm12
    callq leaf_thunk
    subq $0x30, %rsp
    callq leaf_thunk
    movaps -0x10(%rbp), %xmm7
    movaps 0x0(%rbp), %xmm12
    leaq 0x38(%rbp), %rsp
    popq %r15
    popq %rbp
    ret
    .seh_endproc

function asm_frame_r13                # a frame register that needs REX.B; lea with disp32
    pushq %r13
    .seh_pushreg %r13
    subq $0x200, %rsp
    .seh_stackalloc 0x200
    leaq 0x20(%rsp), %r13
    .seh_setframe %r13, 0x20
    .seh_endprologue
    subq $0x40, %rsp
    callq leaf_thunk
    leaq 0x1e0(%r13), %rsp
    popq %r13
    rep ret
    .seh_endproc

function asm_rep_ret_and_nops
    subq $0x28, %rsp
    .seh_stackalloc 0x28
    .seh_endprologue
    callq leaf_thunk
    testq %rax, %rax
    jz 1f
    addq $0x28, %rsp
    rep ret
1:  addq $0x28, %rsp
    vzeroupper
    ret
    .seh_endproc

function asm_tail_import              # jmp qword ptr [rip+n], as to an import
    pushq %rbx
    .seh_pushreg %rbx
    subq $0x20, %rsp
    .seh_stackalloc 0x20
    .seh_endprologue
    movq %rcx, %rbx
    callq leaf_thunk
    movq %rax, %rdx
    movq %rbx, %rcx
    addq $0x20, %rsp
    popq %rbx
    jmpq *pointer(%rip)
    .seh_endproc

function asm_tail_register            # rex.W jmp rax
    subq $0x1038, %rsp
    .seh_stackalloc 0x1038
    .seh_endprologue
    callq leaf_thunk
    leaq leaf_thunk(%rip), %rax
    addq $0x1038, %rsp
    rex64 jmpq *%rax
    .seh_endproc

function asm_chained                  # a fragment that saves more, chained to its head
    pushq %rbx
    .seh_pushreg %rbx
    subq $0x50, %rsp
    .seh_stackalloc 0x50
    .seh_endprologue
    movq %rcx, %rbx
    callq leaf_thunk
    testq %rbx, %rbx
    jnz chained_part
chained_out:
    addq $0x50, %rsp
    popq %rbx
    ret
    .seh_startchained
chained_part:
    movq %rsi, 0x40(%rsp)
    .seh_savereg %rsi, 0x40
    movq %rdi, 0x48(%rsp)
    .seh_savereg %rdi, 0x48
    .seh_endprologue
    movq %rdx, %rsi
    movq %rax, %rdi
    callq leaf_thunk
    addq %rsi, %rax
    movq 0x48(%rsp), %rdi
    movq 0x40(%rsp), %rsi
    .seh_endchained
    .seh_startchained
    .seh_endprologue
    callq leaf_thunk
    jmp far_part
    .seh_endchained
    .seh_endproc

    .p2align 4
function asm_chained_far_caller       # calls into a function whose parts lie apart
    subq $0x28, %rsp
    .seh_stackalloc 0x28
    .seh_endprologue
    callq asm_chained
    xorl %ecx, %ecx
    callq asm_chained
    addq $0x28, %rsp
    ret
    .seh_endproc

    .p2align 4
    .def far_part; .scl 3; .type 32; .endef
    .seh_proc far_part                # GCC's way: a cold part, not chained, with all codes at 0
far_part:
    .seh_pushreg %rbx
    .seh_stackalloc 0x50
    .seh_endprologue
    nop
    callq leaf_thunk
    jmp chained_out
    .seh_endproc

function asm_push_alloc               # push of a volatile register instead of sub rsp, 8
    pushq %rax
    .seh_stackalloc 8
    .seh_endprologue
    callq leaf_thunk
    popq %rcx
    ret
    .seh_endproc

function asm_all_registers            # every preserved register, far saves included
    pushq %rbp
    .seh_pushreg %rbp
    pushq %rbx
    .seh_pushreg %rbx
    pushq %rsi
    .seh_pushreg %rsi
    pushq %rdi
    .seh_pushreg %rdi
    pushq %r12
    .seh_pushreg %r12
    pushq %r13
    .seh_pushreg %r13
    pushq %r14
    .seh_pushreg %r14
    movl $0x100010, %eax
    callq ___chkstk_ms
    subq %rax, %rsp
    .seh_stackalloc 0x100010
    movq %r15, 0x100000(%rsp)
    .seh_savereg %r15, 0x100000
    movaps %xmm6, 0x20(%rsp)
    .seh_savexmm %xmm6, 0x20
    movaps %xmm15, 0xffff0(%rsp)
    .seh_savexmm %xmm15, 0xffff0
    .seh_endprologue
    xorl %ebp, %ebp
    xorl %ebx, %ebx
    xorl %esi, %esi
    xorl %edi, %edi
    xorl %r12d, %r12d
    xorl %r13d, %r13d
    xorl %r14d, %r14d
    xorl %r15d, %r15d
    pxor %xmm6, %xmm6
    pxor %xmm15, %xmm15
    callq asm_push_alloc
    movaps 0xffff0(%rsp), %xmm15
    movaps 0x20(%rsp), %xmm6
    movq 0x100000(%rsp), %r15
    addq $0x100010, %rsp
    popq %r14
    popq %r13
    popq %r12
    popq %rdi
    popq %rsi
    popq %rbx
    popq %rbp
    ret
    .seh_endproc

    .data
    .globl g_sink
    .p2align 4
g_sink:
    .quad 0
pointer:
    .quad leaf_thunk
