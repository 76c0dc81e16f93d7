@ What compilers do not write, and what they call. r0 and r1 are the arguments of asm_* functions.
    .syntax unified
    .thumb
    .text

    .globl asm_halt
    .thumb_func
asm_halt:
    udf #254

@ The stack probe: r4 is the size in words, and comes back in bytes.
    .globl __chkstk
    .thumb_func
__chkstk:
    lsls r4, r4, #2
    bx lr

@ Conversions: any function of the arguments will do.
    .globl __i64tod
    .thumb_func
__i64tod:
    vmov d0, r0, r1
    bx lr
    .globl __dtoi64
    .thumb_func
__dtoi64:
    vmov r0, r1, d0
    bx lr

    .globl asm_note
    .thumb_func
asm_note:
    adds r0, r0, r1
    mov.w r12, #77
    bx lr

    .globl asm_wide
    .thumb_func
asm_wide:
    .seh_proc asm_wide
    push {r0-r3}
    .seh_save_regs {r0-r3}
    push.w {r4-r11, lr}
    .seh_save_regs_w {r4-r11, lr}
    vpush {d8-d11}
    .seh_save_fregs {d8-d11}
    add.w r11, sp, #60
    .seh_nop_w
    subw sp, sp, #1024
    .seh_stackalloc_w 1024
    mov r7, sp
    .seh_save_sp r7
    sub sp, #16
    .seh_stackalloc 16
    .seh_endprologue
    movs r4, #1
    mov.w r8, #2
    vmov.f64 d8, #1.0
    vmov.f64 d11, #2.0
    sub.w sp, sp, #32
    bl asm_note
    add.w sp, sp, #32
    cmp r0, #5
    beq 1f
    .seh_startepilogue
    add sp, #16
    .seh_stackalloc 16
    mov sp, r7
    .seh_save_sp r7
    addw sp, sp, #1024
    .seh_stackalloc_w 1024
    vpop {d8-d11}
    .seh_save_fregs {d8-d11}
    pop.w {r4-r11, lr}
    .seh_save_regs_w {r4-r11, lr}
    add sp, #16
    .seh_stackalloc 16
    bx lr
    .seh_nop
    .seh_endepilogue
1:
    .seh_startepilogue
    add sp, #16
    .seh_stackalloc 16
    mov sp, r7
    .seh_save_sp r7
    addw sp, sp, #1024
    .seh_stackalloc_w 1024
    vpop {d8-d11}
    .seh_save_fregs {d8-d11}
    pop.w {r4-r11}
    .seh_save_regs_w {r4-r11}
    ldr pc, [sp], #20
    .seh_save_lr 20
    .seh_endepilogue
    .seh_endproc

    .globl asm_low
    .thumb_func
asm_low:
    .seh_proc asm_low
    push {r4-r7, lr}
    .seh_save_regs {r4-r7, lr}
    vpush {d10-d11}
    .seh_save_fregs {d10-d11}
    sub sp, #12
    .seh_stackalloc 12
    .seh_endprologue
    movs r4, #1
    movs r7, #2
    vmov.f64 d10, #1.0
    bl asm_note
    .seh_startepilogue
    add sp, #12
    .seh_stackalloc 12
    vpop {d10-d11}
    .seh_save_fregs {d10-d11}
    pop {r4-r7, pc}
    .seh_save_regs {r4-r7, lr}
    .seh_endepilogue
    .seh_endproc

    .globl asm_lr_only
    .thumb_func
asm_lr_only:
    .seh_proc asm_lr_only
    str lr, [sp, #-8]!
    .seh_save_lr 8
    .seh_endprologue
    bl asm_note
    .seh_startepilogue
    ldr pc, [sp], #8
    .seh_save_lr 8
    .seh_endepilogue
    .seh_endproc

    .section .drectve, "yn"
    .ascii " /export:asm_wide /export:asm_low /export:asm_lr_only"

    .data
    .globl g_sink
    .p2align 3
g_sink:
    .long 0, 0
    .globl g_functions
g_functions:
    .long 0, 0, 0, 0
